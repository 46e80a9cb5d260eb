//! How much texts differ in what they say.

/// The mean over pairs of embeddings of 1 less their cosine similarity, as section 4.1 of the paper measures the
/// diversity of a prompt's samples; `None` for fewer than two. An embedding of length 0 is similar to none.
pub fn mean_pairwise_cosine_distance<V: AsRef<[f32]>>(embeddings: &[V]) -> Option<f64> {
    let n = embeddings.len();
    if n < 2 {
        return None;
    }
    // |Σ u|² is the sum over all ordered pairs, each vector with itself included.
    let mut sum = vec![0.0; embeddings[0].as_ref().len()];
    let mut themselves = 0.0;
    for embedding in embeddings {
        let embedding = embedding.as_ref();
        let length = embedding.iter().map(|value| f64::from(*value).powi(2)).sum::<f64>().sqrt();
        if length > 0.0 {
            sum.iter_mut().zip(embedding).for_each(|(sum, value)| *sum += f64::from(*value) / length);
            themselves += 1.0;
        }
    }
    let all: f64 = sum.iter().map(|value| value * value).sum();
    Some(1.0 - (all - themselves) / (n * (n - 1)) as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_mean_over_pairs() {
        let embeddings = [[3.0f32, 0.0, 1.0], [1.0, 1.0, -2.0], [-1.0, 0.5, 0.25], [0.0, 0.0, 0.0]];
        let cosine = |a: [f32; 3], b: [f32; 3]| {
            let dot = |a: [f32; 3], b: [f32; 3]| a.iter().zip(b).map(|(a, b)| f64::from(a * b)).sum::<f64>();
            let lengths = (dot(a, a) * dot(b, b)).sqrt();
            if lengths > 0.0 { dot(a, b) / lengths } else { 0.0 }
        };
        let pairs = [(0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3)];
        let slow = pairs.iter().map(|(a, b)| 1.0 - cosine(embeddings[*a], embeddings[*b])).sum::<f64>() / 6.0;
        let found = mean_pairwise_cosine_distance(&embeddings).expect("there are pairs");
        assert!((found - slow).abs() < 1e-9, "{found} {slow}");
    }

    #[test]
    fn equal_texts_have_none_and_one_text_is_no_pair() {
        assert!(mean_pairwise_cosine_distance(&[[0.3f32, 0.4], [0.6, 0.8]]).expect("a pair").abs() < 1e-6);
        assert_eq!(mean_pairwise_cosine_distance(&[[1.0f32]]), None);
    }
}
