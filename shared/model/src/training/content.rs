//! The content LM (paper, section 3.2.2; reference:
//! `ContentGPTForUserItemWithLMHeadBatch`): user and item tokens prompt their
//! texts, the softmax is over the V words only.

use domain::Stage;

use crate::tokens::prompt::Document;
use crate::training::objective::{Head, Objective};

/// Mean next-word cross-entropy over the documents' main texts.
pub fn objective(documents: &[Document]) -> Objective {
    Objective::next_token(Stage::Content, documents, Head::Words)
}
