//! Every prompt there is: soft tokens (users, items) and hard ones (words),
//! assembled by id. Training and serving call the same functions (REFERENCE:
//! stage 1 and stage 2 prompts).

use crate::backbone::tokenizer::Tokenizer;

/// Changes whenever a prompt's words change: states computed with other words
/// must not be reused.
pub const TEMPLATE_VERSION: u32 = 1;

/// One token of the extended vocabulary.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Token {
    /// A word of the backbone.
    Word(u32),
    /// A row of the user table.
    User(u32),
    /// A row of the item table.
    Item(u32),
}

impl Token {
    pub(crate) fn word(self) -> Option<u32> {
        if let Self::Word(row) = self {
            Some(row)
        } else {
            None
        }
    }

    pub(crate) fn user(self) -> Option<u32> {
        if let Self::User(row) = self {
            Some(row)
        } else {
            None
        }
    }

    pub(crate) fn item(self) -> Option<u32> {
        if let Self::Item(row) = self {
            Some(row)
        } else {
            None
        }
    }
}

/// A prompt (no loss) and a main text (loss on next tokens).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    /// The tokens that are read and never predicted.
    pub prompt: Vec<Token>,
    /// The tokens that are predicted, from the second one on.
    pub main: Vec<Token>,
}

impl Document {
    /// Cuts the main text where the positions end; `None` when no token is left
    /// to predict.
    pub fn fitted(mut self, n_positions: usize) -> Option<Self> {
        let n_main = n_positions.saturating_sub(self.prompt.len());
        self.main.truncate(n_main);
        (self.main.len() >= 2).then_some(self)
    }
}

/// The words of the prompts, encoded once.
#[derive(Debug, Clone)]
pub struct PromptTexts {
    has_interacted_with: Vec<u32>,
    comma: Vec<u32>,
    will_interact_with: Vec<u32>,
    writes_review_for: Vec<u32>,
    colon: Vec<u32>,
    the_title_of: Vec<u32>,
    the_description_of: Vec<u32>,
    the_biography_of: Vec<u32>,
    is: Vec<u32>,
}

impl PromptTexts {
    /// Encodes the words once for a backbone's tokenizer.
    pub fn new(tokenizer: &Tokenizer) -> Self {
        Self {
            has_interacted_with: tokenizer.encode(" has interacted with"),
            comma: tokenizer.encode(","),
            will_interact_with: tokenizer.encode(" will interact with"),
            writes_review_for: tokenizer
                .encode(" writes the following review for"),
            colon: tokenizer.encode(":"),
            the_title_of: tokenizer.encode("The title of"),
            the_description_of: tokenizer.encode("The description of"),
            the_biography_of: tokenizer.encode("The biography of"),
            is: tokenizer.encode(" is:"),
        }
    }

    /// `user_i has interacted with` (collaborative LM).
    pub fn interacted(&self, user: u32) -> Vec<Token> {
        assemble(&[&[Token::User(user)], &words(&self.has_interacted_with)])
    }

    /// `user_i has interacted with item_a item_b … , user_i will interact with`
    /// (recommendation).
    ///
    /// Keeps the latest items that fit into `n_positions`, never drops the
    /// question. Without a user row the user tokens are left out.
    pub fn recommend(
        &self,
        user: Option<u32>,
        items: &[u32],
        n_positions: usize,
    ) -> Vec<Token> {
        let n_most = self.max_history(n_positions);
        let n_left_out = items.len().saturating_sub(n_most);
        let latest = &items[n_left_out..];
        let items: Vec<Token> =
            latest.iter().copied().map(Token::Item).collect();

        let user: Vec<Token> = user.map(Token::User).into_iter().collect();
        let before = words(&self.has_interacted_with);
        let comma = words(&self.comma);
        let question = words(&self.will_interact_with);
        assemble(&[&user, &before, &items, &comma, &user, &question])
    }

    /// The distinct words of all prompts.
    pub fn words(&self) -> Vec<u32> {
        let prompts = [
            self.recommend(None, &[], usize::MAX),
            self.review(0, 0),
            self.title(0),
            self.description(0),
            self.biography(0),
        ];
        let tokens = prompts.concat().into_iter();
        let mut words: Vec<u32> = tokens.filter_map(Token::word).collect();
        words.sort_unstable();
        words.dedup();
        words
    }

    /// How many items of a history a recommendation prompt holds.
    pub fn max_history(&self, n_positions: usize) -> usize {
        let n_users = 2;
        let before = self.has_interacted_with.len();
        let after = self.comma.len() + self.will_interact_with.len();
        n_positions.saturating_sub(n_users + before + after)
    }

    /// `user_i writes the following review for item_j:` (content LM).
    pub fn review(&self, user: u32, item: u32) -> Vec<Token> {
        let before = words(&self.writes_review_for);
        let after = words(&self.colon);
        assemble(&[&[Token::User(user)], &before, &[Token::Item(item)], &after])
    }

    /// `The title of item_j is:` (content LM).
    pub fn title(&self, item: u32) -> Vec<Token> {
        let before = words(&self.the_title_of);
        let after = words(&self.is);
        assemble(&[&before, &[Token::Item(item)], &after])
    }

    /// `The description of item_j is:` (content LM).
    pub fn description(&self, item: u32) -> Vec<Token> {
        let before = words(&self.the_description_of);
        let after = words(&self.is);
        assemble(&[&before, &[Token::Item(item)], &after])
    }

    /// `The biography of user_i is:` (content LM).
    pub fn biography(&self, user: u32) -> Vec<Token> {
        let before = words(&self.the_biography_of);
        let after = words(&self.is);
        assemble(&[&before, &[Token::User(user)], &after])
    }
}

fn words(ids: &[u32]) -> Vec<Token> {
    ids.iter().copied().map(Token::Word).collect()
}

fn assemble(parts: &[&[Token]]) -> Vec<Token> {
    parts.concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts() -> PromptTexts {
        PromptTexts::new(&Tokenizer::gpt2())
    }

    fn word(id: u32) -> Token {
        Token::Word(id)
    }

    #[test]
    fn the_recommendation_prompt_is_the_published_one() {
        let u = Token::User(12);
        let items = [Token::Item(1), Token::Item(2)];
        let expected = [
            [u, word(468), word(49236), word(351)].as_slice(),
            &items,
            &[word(11), u, word(481), word(9427), word(351)],
        ]
        .concat();
        assert_eq!(texts().recommend(Some(12), &[1, 2], 64), expected);
    }

    #[test]
    fn an_over_long_history_loses_its_oldest_items_and_keeps_the_question() {
        let texts = texts();
        let items: Vec<u32> = (0..20).collect();
        let prompt = texts.recommend(Some(0), &items, 14);
        assert_eq!(prompt.len(), 14);
        assert_eq!(texts.max_history(14), 5);
        assert_eq!(prompt[4], Token::Item(15));
        assert_eq!(prompt[13], word(351));
    }

    #[test]
    fn a_text_longer_than_the_context_is_cut_and_one_without_a_predicted_token_is_skipped()
     {
        let document = |n: u32| Document {
            prompt: vec![Token::Item(0); 4],
            main: (0..n).map(word).collect(),
        };
        assert_eq!(document(100).fitted(10).unwrap().main.len(), 6);
        assert_eq!(document(1).fitted(10), None);
        assert_eq!(document(100).fitted(5), None);
    }

    #[test]
    fn review_text_that_names_a_user_stays_text() {
        let ids = Tokenizer::gpt2().encode_main("ask user_12 about item_3");
        assert!(
            ids.iter()
                .all(|&id| (id as usize) < Tokenizer::gpt2().n_words())
                && ids.len() > 4
        );
    }
}
