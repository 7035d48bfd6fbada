//! A data set as the models read it: documents for the content LM, histories for the others.

use std::collections::HashSet;

use dataset::{Dataset, Split, TextKind};
use domain::TrainSpec;
use model::prompt::Document;
use model::{PromptTexts, Token, Tokenizer, collaborative};
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

/// Everything that the stages draw their batches from; encoded once.
#[derive(Debug)]
pub(crate) struct Corpus {
    /// Titles, reviews, descriptions and biographies, each with its prompt; texts without a predicted token are left out.
    documents: Vec<Document>,
    /// Each user's training items in prompt order.
    pub(crate) train: Vec<Vec<u32>>,
    /// Held out to choose the model.
    pub(crate) valid: Vec<Vec<u32>>,
    /// Items in the catalogue, J.
    pub(crate) n_items: usize,
    /// The words of the prompts.
    pub(crate) texts: PromptTexts,
    n_positions: usize,
}

/// What each user did that nothing may be chosen by: held out to measure the model at the end.
#[derive(Debug)]
pub(crate) struct TestSplit(pub(crate) Vec<Vec<u32>>);

impl Corpus {
    /// Everything but the test split, and the test split.
    pub(crate) fn new(dataset: &Dataset, spec: &TrainSpec, n_positions: usize) -> (Self, TestSplit) {
        let tokenizer = Tokenizer::gpt2();
        let texts = PromptTexts::new(&tokenizer);
        let most = spec.pretraining.max_text_tokens;
        let document = |prompt: Vec<Token>, text: &str| {
            let words = tokenizer.encode_main(text).into_iter().take(most);
            Document { prompt, main: words.map(Token::Word).collect() }.fitted(n_positions)
        };
        let held_out = held_out_pairs(dataset);
        let titles = dataset.items.iter().zip(0..).filter(|(item, _)| !item.title.is_empty());
        let mut documents: Vec<Document> =
            titles.filter_map(|(item, row)| document(texts.title(row), &item.title)).collect();
        documents.extend(dataset.texts.iter().filter_map(|text| {
            let prompt = match (text.kind, text.user, text.item) {
                // The review of a held-out pair would tell what is to be found out.
                (TextKind::Review, Some(user), Some(item)) if held_out.contains(&(user, item)) => return None,
                (TextKind::Review, Some(user), Some(item)) => texts.review(user, item),
                (TextKind::Description, _, Some(item)) => texts.description(item),
                (TextKind::Biography, Some(user), _) => texts.biography(user),
                _ => return None,
            };
            document(prompt, &text.text)
        }));
        let [train, valid, test] = [Split::Train, Split::Valid, Split::Test].map(|split| dataset.histories(split));
        (Self { documents, train, valid, n_items: dataset.items.len(), texts, n_positions }, TestSplit(test))
    }

    /// All documents of the content LM.
    pub(crate) fn documents(&self) -> &[Document] {
        &self.documents
    }

    /// Items without a training interaction, ascending.
    pub(crate) fn cold_items(&self) -> Vec<u32> {
        let mut is_warm = vec![false; self.n_items];
        self.train.iter().flatten().for_each(|&item| is_warm[item as usize] = true);
        (0u32..).zip(is_warm).filter(|(_, is_warm)| !is_warm).map(|(item, _)| item).collect()
    }

    /// The places of one epoch's documents of the content LM, in random order.
    pub(crate) fn text_epoch(&self, spec: &TrainSpec, rng: &mut ChaCha8Rng) -> Vec<usize> {
        let mut documents: Vec<usize> = (0..self.documents.len()).collect();
        documents.shuffle(rng);
        if spec.pretraining.documents_per_epoch > 0 {
            documents.truncate(spec.pretraining.documents_per_epoch);
        }
        documents
    }

    /// The documents at some places.
    pub(crate) fn documents_at(&self, places: &[usize]) -> Vec<Document> {
        places.iter().map(|&place| self.documents[place].clone()).collect()
    }

    /// The histories of one epoch of the collaborative LM: users in random order, and (paper: stochastic item
    /// reordering) each history too. Users with nothing to predict are left out.
    pub(crate) fn history_epoch(&self, spec: &TrainSpec, rng: &mut ChaCha8Rng) -> Vec<Document> {
        let mut documents: Vec<Document> = (0..)
            .zip(&self.train)
            .filter_map(|(user, history)| {
                let mut items = history.clone();
                if spec.pretraining.random_order {
                    items.shuffle(rng);
                }
                collaborative::document(&self.texts, user, &items).fitted(self.n_positions)
            })
            .collect();
        documents.shuffle(rng);
        documents
    }

    /// A recommendation prompt as it is served: the whole training history of `user` in time order, with `token` for
    /// the user.
    pub(crate) fn ranking_prompt(&self, user: u32, token: Option<u32>) -> Vec<Token> {
        self.texts.recommend(token, &self.train[user as usize], self.n_positions)
    }

    /// A recommendation prompt of a training step.
    pub(crate) fn training_prompt(&self, user: Option<u32>, visible: &[u32]) -> Vec<Token> {
        self.texts.recommend(user, visible, self.n_positions)
    }
}

/// (user, item) of every interaction that training must not see.
fn held_out_pairs(dataset: &Dataset) -> HashSet<(u32, u32)> {
    let rows = &dataset.interactions;
    let pairs = rows.users.iter().copied().zip(rows.items.iter().copied()).zip(&rows.splits);
    pairs.filter(|(_, split)| **split != Split::Train).map(|(pair, _)| pair).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use dataset::{ImportOptions, import};
    use domain::DatasetId;

    #[test]
    fn the_review_of_a_held_out_pair_is_not_trained_on() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("reviews.csv");
        let rows =
            "user_id,item_id,split,text\na,x,train,a fine thing\na,y,test,a secret thing\nb,x,train,so so la la\n";
        std::fs::write(&path, rows).unwrap();
        let dataset = import(&path, &ImportOptions::default()).unwrap().0;
        assert_eq!(dataset.texts.len(), 3);
        let spec = TrainSpec::new(DatasetId::new("d").unwrap());
        assert_eq!(Corpus::new(&dataset, &spec, 64).0.documents.len(), 2);
    }
}
