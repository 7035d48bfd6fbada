//! What a step of finetuning asks for: a part of each history hidden, the rest
//! in the prompt (paper, section 3.3), and a teacher's ranking beside it.

use domain::Target;
use model::hybrid::softened;
use model::recommender::{self, Example, Options, hide};
use model::{Dropout, Ease, Objective, Teacher};
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::material::corpus::Corpus;
use crate::training::context::Context;

/// The users of one epoch: each one with a history once, in random order.
pub(super) fn epoch(corpus: &Corpus, rng: &mut ChaCha8Rng) -> Vec<u32> {
    let mut users: Vec<u32> = (0u32..)
        .zip(&corpus.histories.train)
        .filter(|(_, history)| !history.is_empty())
        .map(|(user, _)| user)
        .collect();
    users.shuffle(rng);
    users
}

pub(super) fn objective(
    context: &Context<'_>,
    users: &[u32],
    rng: &mut ChaCha8Rng,
) -> Objective {
    let options = &context.fit.spec.finetuning;
    let mut examples = Vec::with_capacity(users.len());
    for &user in users {
        examples.push(example(context, user, rng));
    }
    let mut dropout = None;
    if options.dropout > 0.0 {
        let rng = ChaCha8Rng::seed_from_u64(rng.random());
        dropout = Some(Dropout {
            share: options.dropout,
            rng,
        });
    }
    let asks_teacher =
        options.distilled_share > 0.0 && context.fit.spec.n_sampled_items == 0;
    let teacher = context.teacher.filter(|_| asks_teacher);
    let options = Options {
        logit_scale: options.logit_scale,
        dropout,
        teacher: teacher.map(|ease| ranking_of(ease, context, users)),
    };
    recommender::objective(&examples, options)
}

fn example(context: &Context<'_>, user: u32, rng: &mut ChaCha8Rng) -> Example {
    let (options, corpus) = (&context.fit.spec.finetuning, &context.fit.corpus);
    let history = &corpus.histories.train[user as usize];
    let (visible, hidden) = hide(history, options.hidden_share, rng);
    let targets = match options.target {
        Target::Hidden => hidden,
        Target::All => history.clone(),
    };
    let user = (!options.without_user_token).then_some(user);
    Example {
        prompt: corpus.histories.training_prompt(user, &visible),
        targets,
    }
}

/// What EASE would say of each user's whole history.
fn ranking_of(ease: &Ease, context: &Context<'_>, users: &[u32]) -> Teacher {
    let options = &context.fit.spec.finetuning;
    let mut probabilities = Vec::new();
    for &user in users {
        let scores =
            ease.scores(&context.fit.corpus.histories.train[user as usize]);
        probabilities.extend(softened(scores, options.teacher_sharpness));
    }
    Teacher {
        share: options.distilled_share,
        probabilities,
    }
}
