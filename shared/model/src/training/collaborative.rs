//! The collaborative LM (paper, section 3.2.1; reference:
//! `CollaborativeGPTwithItemLMHeadBatch`): a user token prompts the user's
//! items in random order, the softmax is over the J items only.

use domain::Stage;

use crate::tokens::prompt::{Document, PromptTexts, Token};
use crate::training::objective::{Head, Objective};

/// A user's items as a document, in the order given.
pub fn document(texts: &PromptTexts, user: u32, items: &[u32]) -> Document {
    Document {
        prompt: texts.interacted(user),
        main: items.iter().copied().map(Token::Item).collect(),
    }
}

/// Mean next-item cross-entropy over the documents' main texts.
pub fn objective(documents: &[Document]) -> Objective {
    Objective::next_token(Stage::Collaborative, documents, Head::Items)
}
