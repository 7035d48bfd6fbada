//! What must hold whatever the numbers are: batch company, packing, the ends of
//! the tables.

#![allow(clippy::unwrap_used, reason = "tests")]

use domain::RandomBackbone;
use model::prompt::Document;
use model::recommender::{Example, ItemHead, Options, objective, user_states};
use model::{
    Adam, Backbone, Moments, Precision, PromptTexts, RowGradients, Tables,
    Token, Tokenizer, available_devices, compute_device, content, step,
};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

const N_USERS: usize = 17;
const N_ITEMS: usize = 23;
const N_POSITIONS: usize = 40;
const WIDTH: usize = 32;

struct Model {
    device: String,
    /// Whatever its speed.
    computes_bf16: bool,
    backbone: Backbone,
    tables: Tables,
    texts: PromptTexts,
}

/// A random model of two blocks on each device that this build has.
fn models() -> impl Iterator<Item = Model> {
    available_devices().into_iter().map(|device| {
        let shape = RandomBackbone {
            n_embd: WIDTH,
            n_layer: 2,
            n_head: 4,
            n_positions: N_POSITIONS,
            ..Default::default()
        };
        let backbone =
            Backbone::random(&shape, &compute_device(&device).unwrap().device);
        let texts = PromptTexts::new(&Tokenizer::gpt2());
        Model {
            computes_bf16: device != "flex",
            device,
            backbone,
            tables: Tables::normal(N_USERS, N_ITEMS, WIDTH, 5),
            texts,
        }
    })
}

impl Model {
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
                self.texts.recommend(user, &items, N_POSITIONS)
            })
            .collect();
        let (last_user, last_item) = (N_USERS as u32 - 1, N_ITEMS as u32 - 1);
        prompts.push(self.texts.recommend(Some(0), &[0], N_POSITIONS));
        prompts.push(self.texts.recommend(
            Some(last_user),
            &[last_item, 0, last_item],
            N_POSITIONS,
        ));
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
}

fn assert_close(found: &[f32], expected: &[f32], tolerance: f32) {
    let largest = expected
        .iter()
        .fold(0f32, |largest, x| largest.max(x.abs()));
    for (found, expected) in found.iter().zip(expected) {
        assert!(
            (found - expected).abs() <= tolerance * largest.max(1e-6),
            "{found} {expected}"
        );
    }
}

#[test]
fn neither_padding_nor_company_changes_a_score() {
    for model in models() {
        let prompts = model.prompts();
        let together = model.scores(&prompts);
        for (prompt, expected) in prompts.iter().zip(&together) {
            assert_close(
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
            assert_close(found, expected, 1e-5);
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
        let own = &model.tables.collaborative;
        let compute = |examples: &[Example]| {
            step::compute(
                &model.backbone,
                own,
                None,
                &objective(examples, Options::default()),
            )
            .unwrap()
        };
        let whole = compute(&examples);
        let mut sum = step::Step::default();
        let (mut users, mut items) =
            (vec![0.0; N_USERS * WIDTH], vec![0.0; N_ITEMS * WIDTH]);
        for example in &examples {
            let one = compute(std::slice::from_ref(example));
            sum.loss += one.loss / examples.len() as f64;
            for (total, part) in [
                (&mut users, one.users.dense(N_USERS, WIDTH)),
                (&mut items, one.items.dense(N_ITEMS, WIDTH)),
            ] {
                total.iter_mut().zip(part.values).for_each(|(sum, value)| {
                    *sum += value / examples.len() as f32
                });
            }
        }
        assert!(
            (whole.loss - sum.loss).abs() < 1e-4 * sum.loss,
            "{} {}",
            whole.loss,
            sum.loss
        );
        assert_close(&whole.users.dense(N_USERS, WIDTH).values, &users, 1e-4);
        assert_close(&whole.items.dense(N_ITEMS, WIDTH).values, &items, 1e-4);
    }
}

#[test]
fn a_content_step_touches_the_rows_of_its_batch_alone() {
    for model in models() {
        let main = vec![
            Token::Word(0),
            Token::Word(Tokenizer::gpt2().n_words() as u32 - 1),
            Token::Word(0),
        ];
        let documents = [
            Document {
                prompt: model.texts.review(0, N_ITEMS as u32 - 1),
                main: main.clone(),
            },
            Document {
                prompt: model.texts.title(0),
                main,
            },
        ];
        let step = step::compute(
            &model.backbone,
            &model.tables.content,
            None,
            &content::objective(&documents),
        )
        .unwrap();
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
        assert!(
            (whole.loss - sampled.loss).abs() < 1e-5 * whole.loss,
            "{} {}",
            whole.loss,
            sampled.loss
        );
        assert_eq!(whole.items.rows, sampled.items.rows);
        assert_close(&sampled.items.values, &whole.items.values, 1e-4);
        assert_close(&sampled.users.values, &whole.users.values, 1e-4);
    }
}

#[test]
fn the_loss_over_samples_is_right_on_average_and_moves_only_its_candidates() {
    for model in models() {
        let examples: Vec<Example> = model
            .prompts()
            .into_iter()
            .map(|_| Example {
                prompt: vec![Token::Word(9)],
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
        assert!(
            (mean - expected).abs() < 0.02 * expected,
            "{mean} {expected}"
        );
    }
}

#[test]
fn bf16_weights_change_scores_and_gradients_by_what_their_rounding_does() {
    for model in models().filter(|model| model.computes_bf16) {
        let rounded = Model {
            backbone: model.backbone.in_precision(Precision::Bf16),
            ..model
        };
        let exact = models()
            .find(|exact| exact.device == rounded.device)
            .unwrap();
        let prompts = exact.prompts();
        for (found, expected) in
            rounded.scores(&prompts).iter().zip(exact.scores(&prompts))
        {
            assert_close(found, &expected, 0.03);
        }
        let examples: Vec<Example> = prompts
            .into_iter()
            .map(|prompt| Example {
                prompt,
                targets: vec![1, 5],
            })
            .collect();
        let own = &exact.tables.collaborative;
        let objective = objective(&examples, Options::default());
        let [found, expected] =
            [&rounded.backbone, &exact.backbone].map(|backbone| {
                step::compute(backbone, own, None, &objective).unwrap()
            });
        assert!(
            (found.loss - expected.loss).abs() < 1e-3 * expected.loss,
            "{} {}",
            found.loss,
            expected.loss
        );
        assert_close(&found.items.values, &expected.items.values, 0.05);
        assert_ne!(found.loss, expected.loss);
        let texts = [Document {
            prompt: vec![Token::Item(3)],
            main: vec![Token::Word(5), Token::Word(900), Token::Word(7)],
        }];
        let [found, expected] =
            [&rounded.backbone, &exact.backbone].map(|backbone| {
                step::compute(backbone, own, None, &content::objective(&texts))
                    .unwrap()
            });
        assert!(
            (found.loss - expected.loss).abs() < 2e-3 * expected.loss,
            "{} {}",
            found.loss,
            expected.loss
        );
        assert_close(&found.items.values, &expected.items.values, 0.1);
    }
}
