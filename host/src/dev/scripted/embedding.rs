//! Vectors of the scripted provider: hashed bags of words of length 1. Texts that share words
//! are near each other, nothing else is meant by them.

use crate::llm::failure;
use crate::runtime::bindings::llm as wire;

const DIMENSIONS: u32 = 64;
const MOST_DIMENSIONS: u32 = 4096;

pub(super) fn vectors(request: &wire::EmbedRequest) -> Result<Vec<Vec<f32>>, wire::Error> {
    let dimensions = request.dimensions.unwrap_or(DIMENSIONS);
    if dimensions == 0 || dimensions > MOST_DIMENSIONS {
        return Err(failure(
            wire::ErrorKind::InvalidRequest,
            format!("the scripted provider makes vectors of 1 to {MOST_DIMENSIONS} dimensions"),
        ));
    }
    let texts = request.input.iter();
    Ok(texts.map(|text| vector(text, dimensions)).collect())
}

fn vector(text: &str, dimensions: u32) -> Vec<f32> {
    let mut vector = vec![0.0; dimensions as usize];
    let text = text.to_lowercase();
    for word in text
        .split(|c: char| !c.is_alphanumeric())
        .filter(|word| !word.is_empty())
    {
        let hash = fnv1a(word);
        let place = usize::try_from(hash % u64::from(dimensions)).unwrap_or_default();
        if let Some(number) = vector.get_mut(place) {
            *number += if hash >> 63 == 0 { 1.0 } else { -1.0 };
        }
    }
    normalise(&mut vector);
    vector
}

/// The hash must stay the same in all versions, because vectors are stored.
fn fnv1a(word: &str) -> u64 {
    word.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

fn normalise(vector: &mut [f32]) {
    let length = vector
        .iter()
        .map(|number| number * number)
        .sum::<f32>()
        .sqrt();
    if length > 0.0 {
        vector.iter_mut().for_each(|number| *number /= length);
    } else if let Some(first) = vector.first_mut() {
        // A text without words still needs a direction.
        *first = 1.0;
    }
}
