//! `TrainSpec`: absent fields take the domain's defaults, present ones are
//! checked by the domain.

use domain::{
    Backbone, BackboneLocation, Baselines, ColdItems, DatasetId, Evaluation,
    Finetuning, Hybrid, Invalid, Label, Light, Optimizer, Pretraining,
    RandomBackbone, ReadTexts, Reading, TableInit, Target, TrainSpec,
    ValuePath, Violations,
};

use crate::convert::enums::no_value;
use crate::convert::name::{
    dataset_id, dataset_name, version_id, version_name,
};
use crate::pb;

impl TryFrom<pb::TrainSpec> for TrainSpec {
    type Error = Invalid;

    fn try_from(spec: pb::TrainSpec) -> Result<Self, Invalid> {
        let mut wrong = Violations::default();
        let dataset = wrong.take(dataset_id("dataset", &spec.dataset));
        // Where it is not named, what else is wrong is told, too.
        let mut checked = Self::new(dataset.unwrap_or_else(unnamed));
        checked.seed = spec.seed;
        if let Some(kind) = spec.backbone.and_then(|backbone| backbone.kind) {
            checked.backbone = wrong.or_default(backbone(kind));
        }

        if !spec.start_from.is_empty() {
            let version = version_id("start_from", &spec.start_from);
            checked.start_from = wrong.take(version);
        }

        checked.init = wrong.or_default(table_init(spec.init));
        checked.optimizer = wrong.or_default(optimizer(spec.optimizer));
        let stage = spec.pretraining.unwrap_or_default();
        checked.pretraining = pretraining(&stage);
        let stage = spec.finetuning.unwrap_or_default();
        checked.finetuning = finetuning(&stage, &mut wrong);
        checked.spectral_rank = spec.spectral_rank as usize;
        checked.n_sampled_items = spec.n_sampled_items as usize;
        checked.cold_items = wrong.or_default(cold_items(spec.cold_items));
        let texts = spec.reading.unwrap_or_default();
        checked.reading = reading(&texts, &mut wrong);
        let light = spec.hybrid.unwrap_or_default();
        checked.hybrid = hybrid(&light, &mut wrong);
        let stage = spec.evaluation.unwrap_or_default();
        checked.evaluation = evaluation(&stage, &mut wrong);
        for (number, label) in spec.labels.into_iter().enumerate() {
            let field = format!("labels[{number}]");
            let label = Label::new(label);
            let label = label.map_err(|invalid| invalid.under(&field));
            checked.labels.extend(wrong.take(label));
        }

        checked.max_attempts =
            spec.max_attempts.unwrap_or(checked.max_attempts);
        wrong.take(checked.validate());
        wrong.check()?;
        Ok(checked)
    }
}

/// Stands in the place of a data set that is refused.
fn unnamed() -> DatasetId {
    DatasetId::new("unnamed").expect("a word is an id")
}

fn table_init(value: i32) -> Result<TableInit, Invalid> {
    match pb::TableInit::try_from(value) {
        Ok(pb::TableInit::Unspecified) => Ok(TableInit::default()),
        Ok(pb::TableInit::Normal) => Ok(TableInit::Normal),
        Ok(pb::TableInit::Spectral) => Ok(TableInit::Spectral),
        Err(_) => Err(no_value("init", value, pb::TableInit::as_str_name)),
    }
}

fn optimizer(value: i32) -> Result<Optimizer, Invalid> {
    match pb::Optimizer::try_from(value) {
        Ok(pb::Optimizer::Unspecified) => Ok(Optimizer::default()),
        Ok(pb::Optimizer::Lazy) => Ok(Optimizer::Lazy),
        Ok(pb::Optimizer::Dense) => Ok(Optimizer::Dense),
        Err(_) => Err(no_value("optimizer", value, pb::Optimizer::as_str_name)),
    }
}

fn cold_items(value: i32) -> Result<ColdItems, Invalid> {
    match pb::ColdItems::try_from(value) {
        Ok(pb::ColdItems::Unspecified) => Ok(ColdItems::default()),
        Ok(pb::ColdItems::Rows) => Ok(ColdItems::Rows),
        Ok(pb::ColdItems::Text) => Ok(ColdItems::Text),
        Err(_) => {
            Err(no_value("cold_items", value, pb::ColdItems::as_str_name))
        }
    }
}

fn or(given: Option<u32>, default: usize) -> usize {
    given.map_or(default, |value| value as usize)
}

fn backbone(kind: pb::backbone::Kind) -> Result<Backbone, Invalid> {
    match kind {
        pb::backbone::Kind::Path(path) => BackboneLocation::new(&path)
            .map(Backbone::Path)
            .map_err(|invalid| invalid.under("backbone.path")),
        pb::backbone::Kind::Random(shape) => {
            random_backbone(&shape).map(Backbone::Random)
        }
    }
}

fn random_backbone(
    shape: &pb::RandomBackbone,
) -> Result<RandomBackbone, Invalid> {
    let default = RandomBackbone::default();
    let value_path = match pb::ValuePath::try_from(shape.value_path) {
        Ok(pb::ValuePath::Unspecified) => default.value_path,
        Ok(pb::ValuePath::Random) => ValuePath::Random,
        Ok(pb::ValuePath::NearIdentity) => ValuePath::NearIdentity,
        Err(_) => {
            return Err(no_value(
                "backbone.random.value_path",
                shape.value_path,
                pb::ValuePath::as_str_name,
            ));
        }
    };

    Ok(RandomBackbone {
        n_embd: or(shape.n_embd, default.n_embd),
        n_layer: or(shape.n_layer, default.n_layer),
        n_head: or(shape.n_head, default.n_head),
        n_positions: or(shape.n_positions, default.n_positions),
        seed: shape.seed,
        value_path,
        warmup_epochs: shape.warmup_epochs as usize,
    })
}

fn pretraining(stage: &pb::Pretraining) -> Pretraining {
    let default = Pretraining::default();
    Pretraining {
        content_epochs: or(stage.content_epochs, default.content_epochs),
        epochs: or(stage.epochs, default.epochs),
        batch: or(stage.batch, default.batch),
        learning_rate: stage.learning_rate.unwrap_or(default.learning_rate),
        lambda: stage.lambda.unwrap_or(default.lambda),
        lambda_l: stage.lambda_l.unwrap_or(default.lambda_l),
        with_content: stage.with_content.unwrap_or(default.with_content),
        random_order: stage.random_order.unwrap_or(default.random_order),
        max_text_tokens: or(stage.max_text_tokens, default.max_text_tokens),
        documents_per_epoch: or(
            stage.documents_per_epoch,
            default.documents_per_epoch,
        ),
    }
}

fn finetuning(stage: &pb::Finetuning, wrong: &mut Violations) -> Finetuning {
    let default = Finetuning::default();
    Finetuning {
        epochs: or(stage.epochs, default.epochs),
        batch: or(stage.batch, default.batch),
        learning_rate: stage.learning_rate.unwrap_or(default.learning_rate),
        lambda: stage.lambda.unwrap_or(default.lambda),
        hidden_share: stage.hidden_share.unwrap_or(default.hidden_share),
        target: wrong.take(target(stage.target)).unwrap_or(default.target),
        with_content: stage.with_content.unwrap_or(default.with_content),
        dropout: stage.dropout.unwrap_or(default.dropout),
        logit_scale: stage.logit_scale.unwrap_or(default.logit_scale),
        without_user_token: stage
            .without_user_token
            .unwrap_or(default.without_user_token),
        distilled_share: stage
            .distilled_share
            .unwrap_or(default.distilled_share),
        teacher_sharpness: stage
            .teacher_sharpness
            .unwrap_or(default.teacher_sharpness),
        final_fit: stage.final_fit,
    }
}

fn target(value: i32) -> Result<Target, Invalid> {
    match pb::Target::try_from(value) {
        Ok(pb::Target::Unspecified) => Ok(Finetuning::default().target),
        Ok(pb::Target::All) => Ok(Target::All),
        Ok(pb::Target::Hidden) => Ok(Target::Hidden),
        Err(_) => Err(no_value(
            "finetuning.target",
            value,
            pb::Target::as_str_name,
        )),
    }
}

fn hybrid(hybrid: &pb::Hybrid, wrong: &mut Violations) -> Hybrid {
    let default = Hybrid::default();
    Hybrid {
        light: wrong.take(light(hybrid.light)).unwrap_or(default.light),
        n_kept: or(hybrid.n_kept, default.n_kept),
    }
}

fn light(value: i32) -> Result<Light, Invalid> {
    match pb::Light::try_from(value) {
        Ok(pb::Light::Unspecified) => Ok(Hybrid::default().light),
        Ok(pb::Light::None) => Ok(Light::None),
        Ok(pb::Light::Ease) => Ok(Light::Ease),
        Err(_) => Err(no_value("hybrid.light", value, pb::Light::as_str_name)),
    }
}

fn reading(reading: &pb::Reading, wrong: &mut Violations) -> Reading {
    Reading {
        texts: wrong.or_default(texts(reading.texts)),
        light_strength: reading.light_strength,
        start_strength: reading.start_strength,
    }
}

fn texts(value: i32) -> Result<ReadTexts, Invalid> {
    match pb::ReadTexts::try_from(value) {
        Ok(pb::ReadTexts::Unspecified) => Ok(ReadTexts::default()),
        Ok(pb::ReadTexts::None) => Ok(ReadTexts::None),
        Ok(pb::ReadTexts::Words) => Ok(ReadTexts::Words),
        Err(_) => {
            Err(no_value("reading.texts", value, pb::ReadTexts::as_str_name))
        }
    }
}

fn evaluation(stage: &pb::Evaluation, wrong: &mut Violations) -> Evaluation {
    let default = Evaluation::default();
    Evaluation {
        every: or(stage.every, default.every),
        patience: or(stage.patience, default.patience),
        baselines: wrong
            .take(baselines(stage.baselines))
            .unwrap_or(default.baselines),
    }
}

fn baselines(value: i32) -> Result<Baselines, Invalid> {
    match pb::Baselines::try_from(value) {
        Ok(pb::Baselines::Unspecified) => Ok(Evaluation::default().baselines),
        Ok(pb::Baselines::None) => Ok(Baselines::None),
        Ok(pb::Baselines::Popularity) => Ok(Baselines::Popularity),
        Ok(pb::Baselines::All) => Ok(Baselines::All),
        Err(_) => Err(no_value(
            "evaluation.baselines",
            value,
            pb::Baselines::as_str_name,
        )),
    }
}

fn small(value: usize) -> Option<u32> {
    Some(u32::try_from(value).unwrap_or(u32::MAX))
}

impl From<&TrainSpec> for pb::TrainSpec {
    fn from(spec: &TrainSpec) -> Self {
        Self {
            dataset: dataset_name(&spec.dataset),
            seed: spec.seed,
            backbone: Some(pb::Backbone {
                kind: Some(pb::backbone::Kind::from(&spec.backbone)),
            }),
            init: match spec.init {
                TableInit::Normal => pb::TableInit::Normal,
                TableInit::Spectral => pb::TableInit::Spectral,
            }
            .into(),
            optimizer: match spec.optimizer {
                Optimizer::Lazy => pb::Optimizer::Lazy,
                Optimizer::Dense => pb::Optimizer::Dense,
            }
            .into(),
            pretraining: Some(pb::Pretraining::from(&spec.pretraining)),
            finetuning: Some(pb::Finetuning::from(&spec.finetuning)),
            spectral_rank: small(spec.spectral_rank).unwrap_or_default(),
            n_sampled_items: small(spec.n_sampled_items).unwrap_or_default(),
            cold_items: match spec.cold_items {
                ColdItems::Rows => pb::ColdItems::Rows,
                ColdItems::Text => pb::ColdItems::Text,
            }
            .into(),
            hybrid: Some(pb::Hybrid {
                light: match spec.hybrid.light {
                    Light::None => pb::Light::None,
                    Light::Ease => pb::Light::Ease,
                }
                .into(),
                n_kept: small(spec.hybrid.n_kept),
            }),
            reading: Some(pb::Reading {
                texts: match spec.reading.texts {
                    ReadTexts::None => pb::ReadTexts::None,
                    ReadTexts::Words => pb::ReadTexts::Words,
                }
                .into(),
                light_strength: spec.reading.light_strength,
                start_strength: spec.reading.start_strength,
            }),
            evaluation: Some(pb::Evaluation::from(&spec.evaluation)),
            labels: spec.labels.iter().map(ToString::to_string).collect(),
            max_attempts: Some(spec.max_attempts),
            start_from: match &spec.start_from {
                Some(version) => version_name(version),
                None => String::new(),
            },
        }
    }
}

impl From<&Backbone> for pb::backbone::Kind {
    fn from(backbone: &Backbone) -> Self {
        match backbone {
            Backbone::Path(location) => Self::Path(location.to_string()),
            Backbone::Random(shape) => Self::Random(pb::RandomBackbone {
                n_embd: small(shape.n_embd),
                n_layer: small(shape.n_layer),
                n_head: small(shape.n_head),
                n_positions: small(shape.n_positions),
                seed: shape.seed,
                value_path: match shape.value_path {
                    ValuePath::Random => pb::ValuePath::Random,
                    ValuePath::NearIdentity => pb::ValuePath::NearIdentity,
                }
                .into(),
                warmup_epochs: small(shape.warmup_epochs).unwrap_or_default(),
            }),
        }
    }
}

impl From<&Pretraining> for pb::Pretraining {
    fn from(stage: &Pretraining) -> Self {
        Self {
            content_epochs: small(stage.content_epochs),
            epochs: small(stage.epochs),
            batch: small(stage.batch),
            learning_rate: Some(stage.learning_rate),
            lambda: Some(stage.lambda),
            lambda_l: Some(stage.lambda_l),
            with_content: Some(stage.with_content),
            random_order: Some(stage.random_order),
            max_text_tokens: small(stage.max_text_tokens),
            documents_per_epoch: small(stage.documents_per_epoch),
        }
    }
}

impl From<&Finetuning> for pb::Finetuning {
    fn from(stage: &Finetuning) -> Self {
        Self {
            epochs: small(stage.epochs),
            batch: small(stage.batch),
            learning_rate: Some(stage.learning_rate),
            lambda: Some(stage.lambda),
            hidden_share: Some(stage.hidden_share),
            target: match stage.target {
                Target::All => pb::Target::All,
                Target::Hidden => pb::Target::Hidden,
            }
            .into(),
            with_content: Some(stage.with_content),
            dropout: Some(stage.dropout),
            logit_scale: Some(stage.logit_scale),
            without_user_token: Some(stage.without_user_token),
            distilled_share: Some(stage.distilled_share),
            teacher_sharpness: Some(stage.teacher_sharpness),
            final_fit: stage.final_fit,
        }
    }
}

impl From<&Evaluation> for pb::Evaluation {
    fn from(stage: &Evaluation) -> Self {
        Self {
            every: small(stage.every),
            patience: small(stage.patience),
            baselines: match stage.baselines {
                Baselines::None => pb::Baselines::None,
                Baselines::Popularity => pb::Baselines::Popularity,
                Baselines::All => pb::Baselines::All,
            }
            .into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn default_spec() -> TrainSpec {
        TrainSpec::new(DatasetId::new("d").unwrap())
    }

    #[test]
    fn a_spec_survives_the_wire() {
        let mut spec = default_spec();
        spec.seed = 7;
        spec.optimizer = Optimizer::Dense;
        let location = BackboneLocation::new("openai/gpt2").unwrap();
        spec.backbone = Backbone::Path(location);
        spec.finetuning.target = Target::Hidden;
        (
            spec.finetuning.distilled_share,
            spec.finetuning.teacher_sharpness,
        ) = (0.25, 2.0);
        spec.finetuning.final_fit = Some(false);
        spec.pretraining.with_content = false;
        (spec.spectral_rank, spec.n_sampled_items) = (32, 1000);
        spec.cold_items = ColdItems::Rows;
        spec.hybrid = Hybrid {
            light: Light::None,
            n_kept: 7,
        };
        spec.reading.light_strength = 10.0;
        spec.reading.start_strength = 0.5;
        spec.labels.push(Label::live());
        assert_eq!(TrainSpec::try_from(pb::TrainSpec::from(&spec)), Ok(spec));
    }

    #[test]
    fn one_line_is_a_whole_job() {
        let spec = pb::TrainSpec {
            dataset: "datasets/d".to_owned(),
            ..Default::default()
        };
        assert_eq!(TrainSpec::try_from(spec), Ok(default_spec()));
    }

    #[test]
    fn each_malformed_field_is_named() {
        let good = || pb::TrainSpec {
            dataset: "datasets/d".to_owned(),
            ..Default::default()
        };
        let refused = |spec: pb::TrainSpec| {
            TrainSpec::try_from(spec).unwrap_err().0[0].field.clone()
        };
        assert_eq!(refused(pb::TrainSpec::default()), "dataset");
        assert_eq!(refused(pb::TrainSpec { init: 9, ..good() }), "init");
        assert_eq!(
            refused(pb::TrainSpec {
                labels: vec!["A".into()],
                ..good()
            }),
            "labels[0]"
        );
        let finetuning = pb::Finetuning {
            batch: Some(0),
            ..Default::default()
        };
        assert_eq!(
            refused(pb::TrainSpec {
                finetuning: Some(finetuning),
                ..good()
            }),
            "finetuning.batch"
        );
        let kind = Some(pb::backbone::Kind::Path("../gpt2".to_owned()));
        assert_eq!(
            refused(pb::TrainSpec {
                backbone: Some(pb::Backbone { kind }),
                ..good()
            }),
            "backbone.path"
        );
    }

    /// The field that is refused in a good specification with one change.
    fn refused_with(change: impl FnOnce(&mut pb::TrainSpec)) -> String {
        let mut spec = pb::TrainSpec {
            dataset: "datasets/d".to_owned(),
            ..Default::default()
        };
        change(&mut spec);
        let mut invalid = TrainSpec::try_from(spec).unwrap_err();
        invalid.0.remove(0).field
    }

    #[test]
    fn all_that_is_wrong_is_told_at_once() {
        let mut spec = pb::TrainSpec {
            dataset: "d".to_owned(),
            init: 9,
            labels: vec!["A".into(), "live".into(), String::new()],
            max_attempts: Some(0),
            ..Default::default()
        };
        let finetuning = spec.finetuning.get_or_insert_default();
        finetuning.target = 7;
        finetuning.batch = Some(0);
        let invalid = TrainSpec::try_from(spec).unwrap_err();
        let fields: Vec<&str> =
            invalid.0.iter().map(|one| one.field.as_str()).collect();
        assert_eq!(
            fields,
            [
                "dataset",
                "init",
                "finetuning.target",
                "labels[0]",
                "labels[2]",
                "finetuning.batch",
                "max_attempts"
            ]
        );
        let said = &invalid.0[1].reason;
        assert!(
            said.contains("TABLE_INIT_NORMAL (1), TABLE_INIT_SPECTRAL (2)"),
            "{said}"
        );
    }

    #[test]
    fn each_unknown_value_of_an_enum_is_named() {
        assert_eq!(refused_with(|spec| spec.init = 9), "init");
        assert_eq!(refused_with(|spec| spec.optimizer = 9), "optimizer");
        assert_eq!(refused_with(|spec| spec.cold_items = -1), "cold_items");
        let shape = pb::RandomBackbone {
            value_path: 9,
            ..Default::default()
        };
        let kind = Some(pb::backbone::Kind::Random(shape));
        let field =
            refused_with(|spec| spec.backbone = Some(pb::Backbone { kind }));
        assert_eq!(field, "backbone.random.value_path");
        let field = refused_with(|spec| {
            spec.finetuning.get_or_insert_default().target = 9
        });
        assert_eq!(field, "finetuning.target");
        let field =
            refused_with(|spec| spec.hybrid.get_or_insert_default().light = 9);
        assert_eq!(field, "hybrid.light");
        let field = refused_with(|spec| {
            spec.evaluation.get_or_insert_default().baselines = 9
        });
        assert_eq!(field, "evaluation.baselines");
    }
}
