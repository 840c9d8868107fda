//! The configuration as a file and the environment give it.

use super::*;

fn environment(variables: &[(&str, &str)]) -> Environment {
    variables
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect()
}

fn file(text: &str) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), text).unwrap();
    file
}

#[test]
fn starts_with_nothing_and_answers_from_the_script() {
    let empty = file("");
    let config = Config::load(Some(empty.path()), &Environment::default()).unwrap();
    assert_eq!(config.server.listen, "127.0.0.1:8080");
    assert_eq!(
        config.llm.models["default"].candidates[0].provider,
        "scripted"
    );
}

#[test]
fn the_environment_wins() {
    let file = file("[server]\nlisten = \"127.0.0.1:1\"\n[limits]\nfuel = 5\n");
    let environment = environment(&[
        ("ANCHORHOLD_SERVER__LISTEN", "127.0.0.1:2"),
        ("ANCHORHOLD_LIMITS__DATABASE__MAX_ROWS", "7"),
        (
            "ANCHORHOLD_REGISTRY__DEFAULT_GRANTS",
            "llm, http:example.com",
        ),
        ("ANCHORHOLD_TOKEN", "is not configuration"),
    ]);
    let config = Config::load(Some(file.path()), &environment).unwrap();
    assert_eq!(config.server.listen, "127.0.0.1:2");
    assert_eq!(config.limits.fuel, 5);
    assert_eq!(config.limits.database.max_rows, 7);
    assert_eq!(config.registry.default_grants, ["llm", "http:example.com"]);
}

#[test]
fn an_unknown_key_is_an_error_that_names_it() {
    let file = file("[server]\nlisten_on = \"127.0.0.1:1\"\n");
    let error = Config::load(Some(file.path()), &Environment::default()).unwrap_err();
    assert!(format!("{error:#}").contains("listen_on"), "{error:#}");
    let environment = environment(&[("ANCHORHOLD_SERVER__PORT_NUMBER", "1")]);
    let error = Config::load(None, &environment).unwrap_err();
    assert!(format!("{error:#}").contains("port_number"), "{error:#}");
}

#[test]
fn a_key_alone_makes_default_a_real_model() {
    let environment = environment(&[
        ("OPENAI_API_KEY", "sk-test"),
        ("OPENAI_BASE_URL", "http://127.0.0.1:9/v1/"),
        ("OPENAI_MODEL", "llama"),
    ]);
    let empty = file("");
    let config = Config::load(Some(empty.path()), &environment).unwrap();
    let alias = &config.llm.models["default"];
    assert_eq!(
        (
            alias.candidates[0].provider.as_str(),
            alias.candidates[0].model.as_str()
        ),
        ("openai", "llama")
    );
    assert!(!format!("{config:?}").contains("sk-test"));
}

#[test]
fn an_address_without_a_key_is_a_server_that_takes_none() {
    let empty = file("");
    let local = environment(&[
        ("OPENAI_BASE_URL", "http://127.0.0.1:9/v1/"),
        ("OPENAI_MODEL", "llama"),
    ]);
    let config = Config::load(Some(empty.path()), &local).unwrap();
    assert_eq!(
        config.llm.models["default"].candidates[0].provider,
        "openai"
    );
    assert!(config.llm.providers["openai"].api_key.is_none());
    let own = file("[llm.providers.openai]\nkind = \"openai\"\napi_key = \"sk-test\"\n");
    let config = Config::load(Some(own.path()), &local).unwrap();
    let provider = &config.llm.providers["openai"];
    assert!(
        provider.base_url.is_none(),
        "the key of the file goes nowhere else"
    );
    let other = environment(&[("ANTHROPIC_BASE_URL", "http://127.0.0.1:9/")]);
    let config = Config::load(Some(empty.path()), &other).unwrap();
    assert_eq!(
        config.llm.models["default"].candidates[0].provider,
        "scripted"
    );
}

#[test]
fn an_alias_of_an_unknown_provider_is_an_error() {
    let file = file("[llm.models.fast]\nprovider = \"nobody\"\nmodel = \"x\"\n");
    let error = Config::load(Some(file.path()), &Environment::default()).unwrap_err();
    assert!(format!("{error:#}").contains("nobody"), "{error:#}");
}

#[test]
fn a_manifest_lowers_limits_and_the_operator_sets_them() {
    let limits = Limits::default();
    let asked = LimitsPatch {
        fuel: Some(u64::MAX),
        wall_ms: Some(10),
        ..LimitsPatch::default()
    };
    assert_eq!(limits.lowered(&asked).fuel, limits.fuel);
    assert_eq!(limits.lowered(&asked).wall_ms, 10);
    assert_eq!(limits.replaced(&asked).fuel, u64::MAX);
}
