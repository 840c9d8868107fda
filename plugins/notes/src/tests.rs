//! The notes of two people, in a database in memory.

use anchorhold_agent::testing::{self, Host};
use anchorhold_agent::{Author, Chat, Message};

use crate::{HELP, Notes};

fn say(text: &str) -> String {
    Notes::respond(testing::message(text)).unwrap().text
}

fn bob(text: &str) -> String {
    let author = Author {
        id: "testing:bob".into(),
        name: None,
    };
    Notes::respond(Message {
        author,
        ..testing::message(text)
    })
    .unwrap()
    .text
}

#[test]
fn keeps_lists_and_ticks_off() {
    let _host = Host::new();
    assert_eq!(say("add buy tea #shop"), "Noted as 1.");
    assert_eq!(say("add call Bob #shopping"), "Noted as 2.");
    assert_eq!(say("list"), "- 1: buy tea #shop\n- 2: call Bob #shopping");
    assert_eq!(say("list #shop"), "- 1: buy tea #shop");
    assert_eq!(say("done 1"), "Ticked off 1.");
    assert_eq!(say("done 1"), "You have no open note 1.");
    assert_eq!(say("list #shop"), "There is nothing to do.");
}

#[test]
fn finds_notes_with_all_words() {
    let _host = Host::new();
    say("add Green tea");
    say("add black tea");
    say("done 2");
    assert_eq!(say("find TEA"), "- 2: black tea (done)\n- 1: Green tea");
    assert_eq!(say("find green tea"), "- 1: Green tea");
    assert_eq!(say("find coffee"), "I found nothing.");
    assert_eq!(say("find ' OR 1=1 --"), "I found nothing.");
}

#[test]
fn notes_belong_to_a_person() {
    let _host = Host::new();
    say("add a secret");
    assert_eq!(bob("list"), "There is nothing to do.");
    assert_eq!(bob("find secret"), "I found nothing.");
    assert_eq!(bob("done 1"), "You have no open note 1.");
}

#[test]
fn tells_others_about_a_new_note() {
    let host = Host::new();
    say("add buy tea #shop");
    let event = &host.published()[0];
    assert_eq!(event.topic, "note.added");
    assert!(
        event.data_json.contains(r#""tags":["shop"]"#),
        "{}",
        event.data_json
    );
}

#[test]
fn shows_as_many_as_configured_and_helps() {
    let _host = Host::new().config("show", 1);
    say("add one");
    say("add two");
    assert_eq!(say("list"), "- 1: one");
    assert_eq!(say("what can you do?"), HELP);
}
