//! A batch and what is asked of it, whichever of the paper's three losses it
//! is.

use domain::Stage;
use rand_chacha::ChaCha8Rng;

use crate::backbone::decoder::Backbone;
use crate::backbone::host::matrix;
use crate::tokens::packing::{Reading, n_tokens, rows_tensor};
use crate::tokens::prompt::{Document, Token};
use crate::tokens::soft_tokens::Dropout;
use crate::tokens::tables::TokenTables;
use crate::training::candidates::Candidates;
use crate::training::softmax::{Softmax, Teacher};

/// What a softmax is taken over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Head {
    /// The V words, tied with the frozen word embeddings.
    Words,
    /// The J items, tied with the model's own item table, which therefore gets
    /// a dense gradient.
    Items,
}

/// A batch and what is asked of it. The modules `content`, `collaborative` and
/// `recommender` make them.
#[derive(Debug, Clone)]
pub struct Objective {
    pub(crate) stage: Stage,
    pub(crate) documents: Vec<Reading>,
    /// The classes asked for at each position that is read.
    pub(crate) targets: Vec<Vec<u32>>,
    pub(crate) head: Head,
    /// The summed loss is divided by this.
    pub(crate) mean_over: usize,
    pub(crate) logit_scale: f64,
    pub(crate) teacher: Option<Teacher>,
    /// The soft tokens that the regulariser sums over, one entry a position.
    pub(crate) regularized: Vec<Token>,
    /// Dropout on item rows as they enter the prompt.
    pub(crate) dropout: Option<Dropout>,
    /// What an item softmax is over; the whole catalogue where absent. Targets
    /// are places among them then.
    pub(crate) candidates: Option<Candidates>,
}

impl Objective {
    /// Takes the item softmax over the targets and a sample of the other items
    /// alone, without a teacher, which asks for all items. An objective over
    /// words stays as it is.
    #[must_use]
    pub fn sampled(
        mut self,
        n_sampled: usize,
        n_items: usize,
        rng: &mut ChaCha8Rng,
    ) -> Self {
        if self.head == Head::Words {
            return self;
        }
        let candidates =
            Candidates::draw(&self.targets, n_sampled, n_items, rng);
        for target in self.targets.iter_mut().flatten() {
            *target = candidates.place(*target);
        }
        self.teacher = None;
        self.candidates = Some(candidates);
        self
    }

    /// How many tokens the documents of the batch have.
    pub fn n_tokens(&self) -> usize {
        n_tokens(&self.documents)
    }

    /// The softmax that is asked for, its head as it is now; `learned` is the
    /// head that gets a gradient.
    pub(crate) fn softmax(
        &self,
        backbone: &Backbone,
        tables: &TokenTables,
        learned: Head,
    ) -> Softmax<'_> {
        let candidates = self.candidates.as_ref();
        let items = &tables.items;

        let device = backbone.device().inner();
        let head = match (self.head, candidates) {
            (Head::Words, _) => backbone.head().inner(),
            (Head::Items, None) => {
                let rows = items.values().into_owned();
                matrix(rows, items.width(), &device)
            }
            (Head::Items, Some(candidates)) => {
                rows_tensor(items, &candidates.rows, &device)
            }
        };

        Softmax {
            head,
            offsets: candidates.map(|candidates| &*candidates.offsets),
            targets: &self.targets,
            teacher: self.teacher.as_ref(),
            logit_scale: self.logit_scale,
            weight: 1.0 / self.mean_over as f64,
            head_is_learned: self.head == learned,
        }
    }

    /// Next-token prediction over the main texts: the mean over all predicted
    /// positions. The first main token is not predicted.
    pub(crate) fn next_token(
        stage: Stage,
        documents: &[Document],
        head: Head,
    ) -> Self {
        let mut objective = Self {
            stage,
            documents: Vec::with_capacity(documents.len()),
            targets: Vec::new(),
            head,
            mean_over: 1,
            logit_scale: 1.0,
            teacher: None,
            regularized: Vec::new(),
            dropout: None,
            candidates: None,
        };

        for document in documents {
            for next in document.main.iter().skip(1) {
                let (Token::Word(row) | Token::User(row) | Token::Item(row)) =
                    *next;
                objective.targets.push(vec![row]);
            }
            let mut tokens =
                [document.prompt.as_slice(), &document.main].concat();
            objective.regularized.extend(soft(&tokens));

            // The last token is asked for and asks for nothing: it is not
            // computed.
            let n_read = document.main.len().saturating_sub(1);
            tokens.truncate(document.prompt.len() + n_read);
            objective.documents.push(Reading { tokens, n_read });
        }
        objective.mean_over = objective.targets.len().max(1);
        objective
    }
}

/// The user and item tokens among `tokens`.
pub(crate) fn soft(tokens: &[Token]) -> impl Iterator<Item = Token> + '_ {
    let tokens = tokens.iter().copied();
    tokens.filter(|token| token.word().is_none())
}
