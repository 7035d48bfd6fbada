//! The language models on a worker's disk.

use domain::{BackboneLocation, Body, Invalid, SeenBackbone, Shape};

use crate::pb;

impl From<&SeenBackbone> for pb::SeenBackbone {
    fn from(seen: &SeenBackbone) -> Self {
        let shape = seen.body.shape();
        Self {
            path: seen.location.to_string(),
            n_positions: count(seen.body.n_positions()),
            n_embd: shape.n_embd as u32,
            query_width: shape.query_width as u32,
            key_value_width: shape.key_value_width as u32,
            inner: shape.inner as u32,
            n_inner_products: shape.n_inner_products as u32,
            n_layer: count(shape.n_layer),
            n_words: shape.n_words as u32,
        }
    }
}

fn count(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

impl TryFrom<pb::SeenBackbone> for SeenBackbone {
    type Error = Invalid;

    fn try_from(seen: pb::SeenBackbone) -> Result<Self, Invalid> {
        let location = BackboneLocation::new(&seen.path)
            .map_err(|invalid| invalid.under("path"))?;
        let shape = Shape {
            n_embd: seen.n_embd.into(),
            query_width: seen.query_width.into(),
            key_value_width: seen.key_value_width.into(),
            inner: seen.inner.into(),
            n_inner_products: seen.n_inner_products.into(),
            n_layer: seen.n_layer as usize,
            n_words: seen.n_words.into(),
        };
        let body = Body::new(shape, seen.n_positions as usize)?;
        Ok(Self { location, body })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::RandomBackbone;

    #[test]
    fn a_backbone_is_the_same_after_the_wire() {
        let seen = SeenBackbone {
            location: BackboneLocation::new("hf://own/tiny@v1").unwrap(),
            body: Body::from(&RandomBackbone::default()),
        };
        let sent = pb::SeenBackbone::from(&seen);
        assert_eq!(SeenBackbone::try_from(sent.clone()), Ok(seen));

        let endless = pb::SeenBackbone {
            n_layer: u32::MAX,
            ..sent
        };
        assert!(
            SeenBackbone::try_from(endless).is_err(),
            "its work is looped"
        );
    }
}
