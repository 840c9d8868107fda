//! What tokens cost: the operator's own prices first, then the table that comes with `aicost`.
//!
//! Money is integer: millionths of a US dollar. Prices are kept for a million tokens, so a price
//! in dollars for a million tokens is the same number in millionths of a dollar for one token.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use genai::ModelIden;
use genai::adapter::AdapterKind;
use serde::Deserialize;

use crate::runtime::bindings::llm as wire;

/// Tokens that a price is for.
const MILLION: u128 = 1_000_000;

/// What tokens of a model cost, in millionths of a dollar for a million tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rates {
    input: u64,
    cache_read: u64,
    cache_write: u64,
    output: u64,
    reasoning: u64,
}

impl Rates {
    /// Every token in costs this much, every token out that much, in dollars for a million.
    ///
    /// # Errors
    ///
    /// If one is no price.
    pub(crate) fn flat(input_usd: f64, output_usd: f64) -> Result<Self> {
        let (input, output) = (micros(input_usd)?, micros(output_usd)?);
        Ok(Self {
            input,
            cache_read: input,
            cache_write: input,
            output,
            reasoning: output,
        })
    }

    const FREE: Self = Self {
        input: 0,
        cache_read: 0,
        cache_write: 0,
        output: 0,
        reasoning: 0,
    };

    fn of_table(prices: &aicost::TokenPrices) -> Result<Self> {
        let input = micros(prices.input_normal)?;
        let output = micros(prices.output_normal)?;
        let or = |price: Option<f64>, other| price.map_or(Ok(other), micros);
        Ok(Self {
            input,
            cache_read: or(prices.input_cached, input)?,
            cache_write: or(prices.input_cache_write, input)?,
            output,
            reasoning: or(prices.output_reasoning, output)?,
        })
    }

    /// What this costs, rounded up. Input counts what was read from a cache or written to one,
    /// output counts thoughts, as genai has them.
    fn cost(&self, usage: &wire::Usage) -> u64 {
        let cached = usage.cache_read_tokens + usage.cache_write_tokens;
        let parts = [
            (usage.input_tokens.saturating_sub(cached), self.input),
            (usage.cache_read_tokens, self.cache_read),
            (usage.cache_write_tokens, self.cache_write),
            (
                usage.output_tokens.saturating_sub(usage.reasoning_tokens),
                self.output,
            ),
            (usage.reasoning_tokens, self.reasoning),
        ];
        let sum: u128 = parts
            .iter()
            .map(|(tokens, rate)| u128::from(*tokens) * u128::from(*rate))
            .sum();
        u64::try_from(sum.div_ceil(MILLION)).unwrap_or(u64::MAX)
    }

    /// The most that so many tokens can cost.
    fn most(&self, input_tokens: u64, output_tokens: u64) -> u64 {
        let input = self.input.max(self.cache_read).max(self.cache_write);
        let output = self.output.max(self.reasoning);
        let sum = u128::from(input_tokens) * u128::from(input)
            + u128::from(output_tokens) * u128::from(output);
        u64::try_from(sum.div_ceil(MILLION)).unwrap_or(u64::MAX)
    }
}

/// The rates of a model, dearer ones for larger prompts included.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Price {
    base: Rates,
    /// For prompts of more than so many tokens; ascending.
    tiers: Vec<(u64, Rates)>,
}

impl Price {
    fn flat(base: Rates) -> Self {
        Self {
            base,
            tiers: Vec::new(),
        }
    }

    fn rates(&self, input_tokens: u64) -> &Rates {
        let tier = self
            .tiers
            .iter()
            .rev()
            .find(|(above, _)| input_tokens > *above);
        tier.map_or(&self.base, |(_, rates)| rates)
    }
}

/// What calls of one model cost, whether that is known or not.
#[derive(Debug, Clone)]
pub(crate) struct Tariff {
    price: Option<Arc<Price>>,
    /// What counts where the price is not known.
    worst: Rates,
    list: Arc<PriceList>,
}

/// The prices at one provider.
#[derive(Debug)]
struct PriceList {
    own: Arc<BTreeMap<String, Price>>,
    provider: String,
    /// Whose names of models it uses; none if it is nobody's.
    adapter: Option<AdapterKind>,
    is_free: bool,
}

impl Tariff {
    /// What this cost; none if the price is not known.
    pub(crate) fn cost(&self, usage: &wire::Usage) -> Option<u64> {
        let price = self.price.as_ref()?;
        Some(price.rates(usage.input_tokens).cost(usage))
    }

    /// What budgets count: the worst case where the price is not known.
    pub(crate) fn charge(&self, usage: &wire::Usage) -> u64 {
        self.cost(usage).unwrap_or_else(|| self.worst.cost(usage))
    }

    /// The most that a call can cost.
    pub(crate) fn most(&self, input_tokens: u64, output_tokens: u64) -> u64 {
        let price = self.price.as_ref();
        let rates = price.map_or(&self.worst, |price| price.rates(input_tokens));
        rates.most(input_tokens, output_tokens)
    }

    /// What a call costs that another model answered than was asked: what that one costs where it
    /// is known, else the same.
    pub(crate) fn answered_by(&self, model: &str) -> Self {
        let price = self.list.price(model).map(Arc::new);
        Self {
            price: price.or_else(|| self.price.clone()),
            ..self.clone()
        }
    }

    /// Whether the price is known.
    pub(crate) fn is_known(&self) -> bool {
        self.price.is_some()
    }
}

/// All prices.
pub(crate) struct Prices {
    own: Arc<BTreeMap<String, Price>>,
    worst: Rates,
}

/// A price as an operator writes it: dollars for a million tokens.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    input_usd: f64,
    output_usd: f64,
    cache_read_usd: Option<f64>,
    cache_write_usd: Option<f64>,
    reasoning_usd: Option<f64>,
}

impl Written {
    fn rates(&self) -> Result<Rates> {
        let flat = Rates::flat(self.input_usd, self.output_usd)?;
        let or = |price: Option<f64>, other| price.map_or(Ok(other), micros);
        Ok(Rates {
            cache_read: or(self.cache_read_usd, flat.cache_read)?,
            cache_write: or(self.cache_write_usd, flat.cache_write)?,
            reasoning: or(self.reasoning_usd, flat.reasoning)?,
            ..flat
        })
    }
}

impl Prices {
    /// The prices of the file at `path`, if there is one, and the table; `worst` is what counts
    /// where neither has a price.
    ///
    /// # Errors
    ///
    /// If the file cannot be read or is not one of prices.
    pub(crate) fn open(path: Option<&Path>, worst: Rates) -> Result<Self> {
        let own = match path {
            None => BTreeMap::new(),
            Some(path) => {
                let name = path.display();
                let text = std::fs::read_to_string(path)
                    .with_context(|| format!("cannot read {name} of [llm] prices"))?;
                Self::parse(&text).with_context(|| format!("{name} of [llm] prices is broken"))?
            }
        };
        Ok(Self {
            own: Arc::new(own),
            worst,
        })
    }

    fn parse(text: &str) -> Result<BTreeMap<String, Price>> {
        let written: BTreeMap<String, Written> = toml::from_str(text)?;
        let price = |(name, written): (String, Written)| {
            if !name.contains('/') {
                bail!("{name:?} is no PROVIDER/MODEL, such as \"openai/gpt-5-mini\"");
            }
            let rates = written
                .rates()
                .with_context(|| format!("{name:?} has no price"))?;
            Ok((name, Price::flat(rates)))
        };
        written.into_iter().map(price).collect()
    }

    /// What calls of a model of the provider with this name cost. `adapter` says whose names of
    /// models it uses; none if it is nobody's.
    pub(crate) fn tariff(
        &self,
        provider: &str,
        adapter: Option<AdapterKind>,
        model: &str,
        is_free: bool,
    ) -> Tariff {
        let list = PriceList {
            own: Arc::clone(&self.own),
            provider: provider.to_owned(),
            adapter,
            is_free,
        };
        Tariff {
            price: list.price(model).map(Arc::new),
            worst: self.worst,
            list: Arc::new(list),
        }
    }
}

impl PriceList {
    fn price(&self, model: &str) -> Option<Price> {
        match self.own(&format!("{}/{model}", self.provider)) {
            Some(price) => Some(price.clone()),
            None if self.is_free => Some(Price::flat(Rates::FREE)),
            None => of_table(self.adapter?, model),
        }
    }

    /// A name that ends in `*` stands for all that begin with it; the longest counts.
    fn own(&self, name: &str) -> Option<&Price> {
        let begins = |pattern: &str| {
            pattern
                .strip_suffix('*')
                .is_some_and(|beginning| name.starts_with(beginning))
        };
        self.own.get(name).or_else(|| {
            let fitting = self.own.iter().filter(|(pattern, _)| begins(pattern));
            let longest = fitting.max_by_key(|(pattern, _)| pattern.len());
            longest.map(|(_, price)| price)
        })
    }
}

fn of_table(adapter: AdapterKind, model: &str) -> Option<Price> {
    let listed = aicost::model_pricing(&ModelIden::new(adapter, model))?;
    let tier = |tier: &aicost::PricingTier| {
        let rates = Rates::of_table(&tier.prices).ok()?;
        Some((u64::from(tier.above_prompt_tokens), rates))
    };
    Some(Price {
        base: Rates::of_table(&listed.prices).ok()?,
        tiers: listed.tiers.iter().filter_map(tier).collect(),
    })
}

/// Dollars in millionths.
fn micros(usd: f64) -> Result<u64> {
    let micros = (usd * 1e6).round();
    if !(0.0..=1e12).contains(&micros) {
        bail!("{usd} is no price in dollars");
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "it is within bounds"
    )]
    Ok(micros as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::llm::usage;
    use proptest::prelude::*;

    fn used(input: u64, output: u64) -> wire::Usage {
        wire::Usage {
            input_tokens: input,
            output_tokens: output,
            ..usage::none()
        }
    }

    fn prices(own: &str) -> Prices {
        Prices {
            own: Arc::new(Prices::parse(own).unwrap()),
            worst: Rates::flat(15.0, 75.0).unwrap(),
        }
    }

    fn openai(prices: &Prices, model: &str) -> Tariff {
        prices.tariff("openai", Some(AdapterKind::OpenAI), model, false)
    }

    #[test]
    fn what_another_model_answers_costs_what_that_costs() {
        let asked = openai(
            &prices("\"openai/dear\" = { input_usd = 100, output_usd = 100 }"),
            "gpt-4o",
        );
        let cost = |model: &str| asked.answered_by(model).cost(&used(1_000, 0));
        assert_eq!(cost("gpt-4o-2024-08-06"), Some(2_500));
        assert_eq!(cost("dear"), Some(100_000));
        assert_eq!(cost("nobody-knows"), Some(2_500));
        let free = prices("").tariff("home", Some(AdapterKind::OpenAI), "m", true);
        assert_eq!(free.answered_by("gpt-4o").cost(&used(1_000, 0)), Some(0));
    }

    #[test]
    fn the_table_knows_what_is_sold() {
        let tariff = openai(&prices(""), "gpt-4o-2024-08-06");
        // 2.50 and 10 dollars for a million.
        assert_eq!(tariff.cost(&used(1_000, 500)), Some(7_500));
        assert_eq!(tariff.cost(&used(0, 0)), Some(0));
        assert_eq!(
            tariff.cost(&used(1, 0)),
            Some(3),
            "parts of a millionth are rounded up"
        );
        let cached = wire::Usage {
            cache_read_tokens: 1_000,
            ..used(1_000, 0)
        };
        assert_eq!(tariff.cost(&cached), Some(1_250));
    }

    #[test]
    fn an_unknown_price_is_none_and_counts_as_the_worst() {
        let tariff = openai(&prices(""), "home-grown");
        assert_eq!(tariff.cost(&used(1_000, 1_000)), None);
        assert_eq!(tariff.charge(&used(1_000, 1_000)), 90_000);
        assert_eq!(tariff.most(1_000, 1_000), 90_000);
    }

    #[test]
    fn own_prices_come_first() {
        let own = r#"
            ["openai/gpt-4o*"]
            input_usd = 1
            output_usd = 2
            ["openai/gpt-4o-mini"]
            input_usd = 3
            output_usd = 4
            cache_read_usd = 0.5
            ["home/*"]
            input_usd = 0
            output_usd = 0
        "#;
        let prices = prices(own);
        let cost = |model: &str| openai(&prices, model).cost(&used(1_000_000, 0));
        assert_eq!(cost("gpt-4o"), Some(1_000_000));
        assert_eq!(cost("gpt-4o-mini"), Some(3_000_000));
        let home = prices.tariff("home", None, "any", false);
        assert_eq!(home.cost(&used(9, 9)), Some(0));
        assert!(prices.tariff("p", None, "m", true).is_known());
    }

    #[test]
    fn what_is_no_price_is_refused() {
        for text in [
            "[model]\ninput_usd = 1\noutput_usd = 1",
            "[\"p/m\"]\ninput_usd = -1\noutput_usd = 1",
            "[\"p/m\"]\ninput_usd = 1",
            "[\"p/m\"]\ninput_usd = 1\noutput_usd = nan",
            "[\"p/m\"]\ninput_usd = 1\noutput_usd = 1\nextra = 1",
        ] {
            assert!(Prices::parse(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_call_never_costs_more_than_its_most(
            input in 0_u64..1_000_000, cached in 0_u64..1_000_000, output in 0_u64..100_000, thought in 0_u64..100_000,
        ) {
            let used = wire::Usage {
                cache_read_tokens: cached.min(input),
                reasoning_tokens: thought.min(output),
                ..used(input, output)
            };
            for model in ["gpt-4o", "gpt-6-astra", "home-grown"] {
                let tariff = openai(&prices(""), model);
                prop_assert!(tariff.charge(&used) <= tariff.most(input, output));
            }
        }
    }
}
