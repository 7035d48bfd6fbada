//! What must hold whatever the numbers are: batch company, packing, the ends of
//! the tables.

#![allow(clippy::unwrap_used, reason = "tests")]

mod reference;

use domain::RandomBackbone;
use model::prompt::Document;
use model::recommender::{Example, ItemHead, Options, objective, user_states};
use model::{
    Adam, Backbone, Moments, Precision, PromptTexts, RowGradients, Tables,
    Token, Tokenizer, available_devices, compute_device, content, step,
};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::reference::decoder_folders;

const N_USERS: usize = 17;
const N_ITEMS: usize = 23;
/// The longest prompt; a decoder may have fewer positions.
const N_POSITIONS: usize = 40;

struct Model {
    /// The decoder and the device, for messages.
    name: String,
    device: String,
    /// Whatever its speed.
    computes_bf16: bool,
    backbone: Backbone,
    tables: Tables,
    texts: PromptTexts,
}

/// A random GPT-2 of two blocks on each device that this build has.
fn random_models() -> Vec<Model> {
    let mut models = Vec::new();
    for name in available_devices() {
        let shape = RandomBackbone {
            n_embd: 32,
            n_layer: 2,
            n_head: 4,
            n_positions: N_POSITIONS,
            ..Default::default()
        };
        let device = compute_device(&name).unwrap().device;
        let random = Backbone::random(&shape, &device);
        models.push(Model::new("a random GPT-2", &name, random));
    }
    models
}

/// Those, and the decoders of other families in `tests/decoders` (or below
/// `CLLM4REC_DECODERS`).
fn models() -> Vec<Model> {
    let mut models = random_models();
    for name in available_devices() {
        let device = compute_device(&name).unwrap().device;
        for folder in decoder_folders() {
            let backbone =
                Backbone::read(&folder.join("backbone"), &device).unwrap();
            let decoder = folder.display().to_string();
            models.push(Model::new(&decoder, &name, backbone));
        }
    }
    models
}

impl Model {
    fn new(decoder: &str, device: &str, backbone: Backbone) -> Self {
        Self {
            name: format!("{decoder} on {device}"),
            computes_bf16: device != "flex",
            device: device.to_owned(),
            tables: Tables::normal(N_USERS, N_ITEMS, backbone.n_embd(), 5),
            texts: PromptTexts::new(&Tokenizer::gpt2()),
            backbone,
        }
    }

    fn n_positions(&self) -> usize {
        self.backbone.n_positions().min(N_POSITIONS)
    }

    /// A prompt with words that the decoder has: those of a fixture are fewer
    /// than GPT-2's.
    fn in_vocabulary(&self, tokens: Vec<Token>) -> Vec<Token> {
        let n_words = self.backbone.n_words() as u32;
        let known = |token| match token {
            Token::Word(word) => Token::Word(word % n_words),
            Token::User(_) | Token::Item(_) => token,
        };
        tokens.into_iter().map(known).collect()
    }

    fn recommend(&self, user: Option<u32>, items: &[u32]) -> Vec<Token> {
        let prompt = self.texts.recommend(user, items, self.n_positions());
        self.in_vocabulary(prompt)
    }

    /// Prompts of every length, of the first and the last user and item among
    /// others.
    fn prompts(&self) -> Vec<Vec<Token>> {
        let mut rng = ChaCha8Rng::seed_from_u64(3);
        let mut prompts: Vec<Vec<Token>> = (0..40)
            .map(|_| {
                let items: Vec<u32> = (0..rng.random_range(0..45))
                    .map(|_| rng.random_range(0..N_ITEMS as u32))
                    .collect();
                let user = rng
                    .random_bool(0.8)
                    .then(|| rng.random_range(0..N_USERS as u32));
                self.recommend(user, &items)
            })
            .collect();
        let (last_user, last_item) = (N_USERS as u32 - 1, N_ITEMS as u32 - 1);
        prompts.push(self.recommend(Some(0), &[0]));
        prompts
            .push(self.recommend(Some(last_user), &[last_item, 0, last_item]));
        prompts.push(vec![Token::Word(0)]);
        prompts
    }

    fn scores(&self, prompts: &[Vec<Token>]) -> Vec<Vec<f32>> {
        let own = &self.tables.collaborative;
        let head = ItemHead::new(&self.backbone, &own.items);
        head.scores(&user_states(&self.backbone, own, prompts).unwrap())
            .chunks(N_ITEMS)
            .map(<[f32]>::to_vec)
            .collect()
    }

    fn assert_close(&self, found: &[f32], expected: &[f32], tolerance: f32) {
        let largest = expected
            .iter()
            .fold(0f32, |largest, x| largest.max(x.abs()));
        for (found, expected) in found.iter().zip(expected) {
            assert!(
                (found - expected).abs() <= tolerance * largest.max(1e-6),
                "{}: {found} {expected}",
                self.name
            );
        }
    }

    fn assert_loss(&self, found: f64, expected: f64, tolerance: f64) {
        assert!(
            (found - expected).abs() < tolerance * expected,
            "{}: {found} {expected}",
            self.name
        );
    }
}

#[test]
fn neither_padding_nor_company_changes_a_score() {
    for model in models() {
        let prompts = model.prompts();
        let together = model.scores(&prompts);
        for (prompt, expected) in prompts.iter().zip(&together) {
            model.assert_close(
                &model.scores(std::slice::from_ref(prompt))[0],
                expected,
                1e-5,
            );
        }
        let mut reversed = prompts.clone();
        reversed.reverse();
        for (found, expected) in
            model.scores(&reversed).iter().zip(together.iter().rev())
        {
            model.assert_close(found, expected, 1e-5);
        }
    }
}

#[test]
fn several_prompts_in_one_pass_have_the_loss_and_gradients_of_one_by_one() {
    for model in models() {
        let examples: Vec<Example> = model
            .prompts()
            .into_iter()
            .zip(0u32..)
            .map(|(prompt, place)| Example {
                prompt,
                targets: vec![
                    place % N_ITEMS as u32,
                    (place + 7) % N_ITEMS as u32,
                ],
            })
            .collect();
        let width = model.backbone.n_embd();
        let whole = recommender_step(&model, &examples);
        let mut sum = step::Step::default();
        let (mut users, mut items) =
            (vec![0.0; N_USERS * width], vec![0.0; N_ITEMS * width]);
        for example in &examples {
            let one = recommender_step(&model, std::slice::from_ref(example));
            sum.loss += one.loss / examples.len() as f64;
            for (total, part) in [
                (&mut users, one.users.dense(N_USERS, width)),
                (&mut items, one.items.dense(N_ITEMS, width)),
            ] {
                total.iter_mut().zip(part.values).for_each(|(sum, value)| {
                    *sum += value / examples.len() as f32
                });
            }
        }
        model.assert_loss(whole.loss, sum.loss, 1e-4);
        let found = whole.users.dense(N_USERS, width).values;
        model.assert_close(&found, &users, 1e-4);
        let found = whole.items.dense(N_ITEMS, width).values;
        model.assert_close(&found, &items, 1e-4);
    }
}

fn recommender_step(model: &Model, examples: &[Example]) -> step::Step {
    let own = &model.tables.collaborative;
    let objective = objective(examples, Options::default());
    step::compute(&model.backbone, own, None, &objective).unwrap()
}

#[test]
fn the_order_of_documents_changes_neither_loss_nor_gradients() {
    for model in models() {
        let width = model.backbone.n_embd();
        let mut documents = Vec::new();
        for item in 0..N_ITEMS as u32 {
            let mut words = Vec::new();
            for word in 0..item % 9 + 2 {
                words.push(Token::Word(word * item));
            }
            let document = Document {
                prompt: model.in_vocabulary(model.texts.review(3, item)),
                main: model.in_vocabulary(words),
            };
            documents.extend(document.fitted(model.n_positions()));
        }
        let one_way = content_step(&model, &documents);
        documents.reverse();
        documents.swap(2, 7);
        let other = content_step(&model, &documents);
        model.assert_loss(other.loss, one_way.loss, 1e-5);
        let [found, expected] = [other, one_way]
            .map(|step| step.items.dense(N_ITEMS, width).values);
        model.assert_close(&found, &expected, 1e-4);
    }
}

fn content_step(model: &Model, documents: &[Document]) -> step::Step {
    let objective = content::objective(documents);
    let own = &model.tables.content;
    step::compute(&model.backbone, own, None, &objective).unwrap()
}

#[test]
fn a_content_step_touches_the_rows_of_its_batch_alone() {
    for model in models() {
        let last_word = model.backbone.n_words() as u32 - 1;
        let main = [0, last_word, 0].map(Token::Word).to_vec();
        let review = model.texts.review(0, N_ITEMS as u32 - 1);
        let documents = [
            Document {
                prompt: model.in_vocabulary(review),
                main: main.clone(),
            },
            Document {
                prompt: model.in_vocabulary(model.texts.title(0)),
                main,
            },
        ];
        let step = content_step(&model, &documents);
        assert_eq!(step.users.rows, [0]);
        assert_eq!(step.items.rows, [0, N_ITEMS as u32 - 1]);
        assert!(
            step.loss.is_finite()
                && step.items.values.iter().any(|value| *value != 0.0)
        );
    }
}

#[test]
fn lazy_adam_leaves_a_row_where_dense_adam_moves_it_on() {
    let start = Tables::normal(2, 3, 4, 0).collaborative.items;
    let (adam, mut lazy, mut dense) =
        (Adam::new(1e-2), start.clone(), start.clone());
    let (mut lazy_moments, mut dense_moments) =
        (Moments::zeros(&start), Moments::zeros(&start));
    let first = RowGradients {
        rows: vec![0],
        values: vec![1.0; 4],
    };
    let second = RowGradients {
        rows: vec![2],
        values: vec![1.0; 4],
    };
    for gradients in [&first, &second] {
        lazy_moments.update(&adam, &mut lazy, gradients);
        dense_moments.update(&adam, &mut dense, &gradients.dense(3, 4));
    }
    // Dense: row 0 gets gradient 0 in the second step and moves by its first
    // moment, with bias correction for two.
    let moved = |table: &model::Table| table.row(0)[0] - start.row(0)[0];
    let (m, v) = (0.1 * 0.9, 0.001 * 0.999);
    let second_step = 1e-2 * (m / (1.0 - 0.9f32.powi(2)))
        / ((v / (1.0 - 0.999f32.powi(2))).sqrt() + 1e-8);
    assert!(
        (moved(&lazy) + 1e-2).abs() < 1e-6,
        "the lazy rule: one step of the learning rate, {}",
        moved(&lazy)
    );
    assert!(
        (moved(&dense) + 1e-2 + second_step).abs() < 1e-6,
        "dense Adam: {} {second_step}",
        moved(&dense)
    );
    assert_eq!(lazy.row(1), start.row(1), "a row that never had a gradient");
    assert_eq!(dense.row(1), start.row(1));
}

#[test]
fn a_softmax_over_a_sample_of_all_items_is_the_softmax_over_the_catalogue() {
    for model in models() {
        let examples: Vec<Example> = model
            .prompts()
            .into_iter()
            .map(|prompt| Example {
                prompt,
                targets: vec![1, 5, 22],
            })
            .collect();
        let own = &model.tables.collaborative;
        let whole = objective(&examples, Options::default());
        let mut rng = ChaCha8Rng::seed_from_u64(0);
        let sampled = whole.clone().sampled(N_ITEMS, N_ITEMS, &mut rng);
        let [whole, sampled] = [whole, sampled].map(|objective| {
            step::compute(&model.backbone, own, None, &objective).unwrap()
        });
        model.assert_loss(sampled.loss, whole.loss, 1e-5);
        assert_eq!(whole.items.rows, sampled.items.rows);
        model.assert_close(&sampled.items.values, &whole.items.values, 1e-4);
        model.assert_close(&sampled.users.values, &whole.users.values, 1e-4);
    }
}

#[test]
fn the_loss_over_samples_is_right_on_average_and_moves_only_its_candidates() {
    for model in models() {
        let examples: Vec<Example> = model
            .prompts()
            .into_iter()
            .map(|_| Example {
                prompt: model.in_vocabulary(vec![Token::Word(9)]),
                targets: vec![3],
            })
            .collect();
        let own = &model.tables.collaborative;
        let whole = objective(&examples, Options::default());
        let expected = step::compute(&model.backbone, own, None, &whole)
            .unwrap()
            .loss;
        let mut rng = ChaCha8Rng::seed_from_u64(0);
        let losses: Vec<f64> = (0..200)
            .map(|_| {
                let sampled = whole.clone().sampled(6, N_ITEMS, &mut rng);
                let step = step::compute(&model.backbone, own, None, &sampled)
                    .unwrap();
                assert!(
                    step.items.rows.len() == 7 && step.items.rows.contains(&3),
                    "{:?}",
                    step.items.rows
                );
                step.loss
            })
            .collect();
        let mean = losses.iter().sum::<f64>() / losses.len() as f64;
        model.assert_loss(mean, expected, 0.02);
    }
}

#[test]
fn bf16_weights_change_scores_and_gradients_by_what_their_rounding_does() {
    let is_rounded = |model: &Model| model.computes_bf16;
    for exact in random_models().into_iter().filter(is_rounded) {
        let rounded = Model {
            name: format!("{} in bf16", exact.name),
            backbone: exact.backbone.in_precision(Precision::Bf16),
            ..Model::new("", &exact.device, exact.backbone.clone())
        };
        let prompts = exact.prompts();
        for (found, expected) in
            rounded.scores(&prompts).iter().zip(exact.scores(&prompts))
        {
            rounded.assert_close(found, &expected, 0.03);
        }
        let mut examples = Vec::new();
        for prompt in prompts {
            let targets = vec![1, 5];
            examples.push(Example { prompt, targets });
        }
        let [found, expected] =
            [&rounded, &exact].map(|model| recommender_step(model, &examples));
        rounded.assert_loss(found.loss, expected.loss, 1e-3);
        rounded.assert_close(&found.items.values, &expected.items.values, 0.05);
        assert_ne!(found.loss, expected.loss, "{}", rounded.name);

        let words = [5, 900, 7].map(Token::Word).to_vec();
        let texts = [Document {
            prompt: vec![Token::Item(3)],
            main: exact.in_vocabulary(words),
        }];
        let [found, expected] =
            [&rounded, &exact].map(|model| content_step(model, &texts));
        rounded.assert_loss(found.loss, expected.loss, 2e-3);
        rounded.assert_close(&found.items.values, &expected.items.values, 0.1);
    }
}
