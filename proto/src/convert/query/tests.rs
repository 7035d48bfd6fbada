//! The bounds of each field.

use super::*;
use domain::{Inline, Label, ModelChoice, ModelVersion, Page};
use prost::Message;
use prost_types::Timestamp;
use std::time::{Duration, Instant};

fn request() -> pb::RecommendRequest {
    pb::RecommendRequest {
        user_id: "u".into(),
        ..Default::default()
    }
}

fn asked(request: pb::RecommendRequest) -> Result<Query, Invalid> {
    Asked::try_from(request).map(|asked| asked.query)
}

/// The field that is refused in a good request with one change.
fn refused(change: impl FnOnce(&mut pb::RecommendRequest)) -> String {
    let mut request = request();
    change(&mut request);
    asked(request).unwrap_err().0.remove(0).field
}

fn inline(item: &str, time: Option<Timestamp>) -> pb::InlineInteraction {
    pb::InlineInteraction {
        item_id: item.to_owned(),
        time,
    }
}

fn at(seconds: i64, nanos: i32) -> Option<Timestamp> {
    Some(Timestamp { seconds, nanos })
}

fn ids(n: usize) -> Vec<String> {
    vec!["a".to_owned(); n]
}

#[test]
fn absent_fields_have_defaults() {
    let query = asked(request()).unwrap();
    assert_eq!((query.k.get(), query.allowed.exclude_seen), (10, true));
    assert_eq!(query.reader.model, ModelChoice::Label(Label::live()));
}

#[test]
fn each_malformed_field_is_named() {
    use pb::recommend_request::Model;
    let long = "x".repeat(257);
    assert_eq!(refused(|r| r.user_id.clear()), "user_id");
    assert_eq!(refused(|r| r.user_id.clone_from(&long)), "user_id");
    assert_eq!(refused(|r| r.k = Some(0)), "k");
    assert_eq!(refused(|r| r.k = Some(1_001)), "k");
    let field = refused(|r| r.excluded_item_ids = vec!["a".to_owned(), long]);
    assert_eq!(field, "excluded_item_ids[1]");
    let field = refused(|r| r.excluded_item_ids = ids(10_001));
    assert_eq!(field, "excluded_item_ids");
    let version = Some(Model::ModelVersion("v1".to_owned()));
    assert_eq!(refused(|r| r.model = version), "model_version");
    let label = Some(Model::Label("Live!".to_owned()));
    assert_eq!(refused(|r| r.model = label), "label");
    assert_eq!(refused(|r| r.catalog = "..".to_owned()), "catalog");
    let field = refused(|r| r.history = vec![inline("", at(0, 0))]);
    assert_eq!(field, "history[0].item_id");
    let field = refused(|r| r.history = vec![inline("a", at(0, -1))]);
    assert_eq!(field, "history[0].time");
}

#[test]
fn each_new_field_has_its_bounds() {
    let field = refused(|r| r.candidate_item_ids = ids(10_001));
    assert_eq!(field, "candidate_item_ids");
    let field = refused(|r| r.candidate_item_ids = vec![String::new()]);
    assert_eq!(field, "candidate_item_ids[0]");
    assert_eq!(refused(|r| r.filter = "x".repeat(2_049)), "filter");
    let field = refused(|r| (r.explain, r.k) = (true, Some(21)));
    assert_eq!(field, "k");
    assert_eq!(refused(|r| r.history_use = 7), "history_use");
    assert_eq!(refused(|r| r.priority = -1), "priority");
    let field = refused(|r| {
        r.history = vec![inline("a", None)];
        r.history_use = 2;
    });
    assert_eq!(field, "history[0].time");
    assert_eq!(refused(|r| r.at_time = at(0, -1)), "at_time");
    assert_eq!(refused(|r| r.at_time = at(i64::MAX, 0)), "at_time");
    let negative = prost_types::Duration {
        seconds: -1,
        nanos: 0,
    };
    assert_eq!(
        refused(|r| r.max_staleness = Some(negative)),
        "max_staleness"
    );
    let last = format!("ab12.7.{}.0", Page::LAST);
    for token in ["1", "ab12.7.5.0.0", &last] {
        assert_eq!(refused(|r| r.page_token = token.to_owned()), "page_token");
    }
    let field = refused(|r| r.history = vec![inline("a", None); 10_001]);
    assert_eq!(field, "history");
}

#[test]
fn a_request_at_its_bounds_is_accepted() {
    let good = pb::RecommendRequest {
        candidate_item_ids: ids(10_000),
        excluded_item_ids: ids(10_000),
        filter: "x".repeat(2_048),
        explain: true,
        k: Some(20),
        history: vec![inline("a", at(0, 0)); 10_000],
        history_use: 2,
        priority: pb::Priority::Batch.into(),
        catalog: "books".into(),
        max_staleness: Some(prost_types::Duration {
            seconds: 60,
            nanos: 0,
        }),
        ..request()
    };
    assert_eq!(priority(&good).unwrap(), Priority::Batch);
    let query = asked(good).unwrap();
    assert!(matches!(query.reader.inline, Inline::Beside(_)) && query.explain);
    assert_eq!(query.reader.catalog.unwrap().to_string(), "books");
    assert_eq!(query.reader.max_staleness, Duration::from_secs(60));
}

#[test]
fn items_to_score_have_the_same_bounds() {
    fn good() -> pb::ScoreItemsRequest {
        pb::ScoreItemsRequest {
            user_id: "u".into(),
            item_ids: ids(1),
            ..Default::default()
        }
    }
    fn refused(change: impl FnOnce(&mut pb::ScoreItemsRequest)) -> String {
        let mut request = good();
        change(&mut request);
        ScoreQuery::try_from(request).unwrap_err().0.remove(0).field
    }
    assert_eq!(refused(|r| r.item_ids = ids(0)), "item_ids");
    assert_eq!(refused(|r| r.item_ids = ids(10_001)), "item_ids");
    let field = refused(|r| r.item_ids = vec![String::new()]);
    assert_eq!(field, "item_ids[0]");
    assert_eq!(refused(|r| r.user_id.clear()), "user_id");
    assert_eq!(refused(|r| r.catalog = "..".into()), "catalog");
    let most = pb::ScoreItemsRequest {
        item_ids: ids(10_000),
        ..good()
    };
    assert_eq!(ScoreQuery::try_from(most).unwrap().items.len(), 10_000);
}

#[test]
fn similar_items_have_the_same_bounds() {
    fn good() -> pb::SimilarItemsRequest {
        pb::SimilarItemsRequest {
            item_id: "a".into(),
            k: Some(1_000),
            ..Default::default()
        }
    }
    fn refused(change: impl FnOnce(&mut pb::SimilarItemsRequest)) -> String {
        let mut request = good();
        change(&mut request);
        let invalid = SimilarQuery::try_from(request).unwrap_err();
        invalid.0[0].field.clone()
    }
    assert_eq!(refused(|r| r.item_id.clear()), "item_id");
    assert_eq!(refused(|r| r.k = Some(0)), "k");
    assert_eq!(refused(|r| r.k = Some(1_001)), "k");
    assert_eq!(refused(|r| r.filter = "x".repeat(2_049)), "filter");
    let label = Some(pb::similar_items_request::Model::Label("Live!".into()));
    assert_eq!(refused(|r| r.model = label), "label");
    assert_eq!(SimilarQuery::try_from(good()).unwrap().k.get(), 1_000);
}

#[test]
fn a_page_token_goes_on_with_the_same_request_and_no_other() {
    let first = Asked::try_from(pb::RecommendRequest {
        k: Some(5),
        ..request()
    })
    .unwrap();
    let next = Page {
        version: ModelVersion::new("ab12").unwrap(),
        at_ms: 7,
        offset: 5,
    };
    let page_token = first.pages.token(&next);
    let of = |request: pb::RecommendRequest| {
        asked(pb::RecommendRequest {
            page_token: page_token.clone(),
            ..request
        })
    };
    assert_eq!(
        of(pb::RecommendRequest {
            k: Some(50),
            ..request()
        })
        .unwrap()
        .page,
        Some(next)
    );
    let other = of(pb::RecommendRequest {
        exclude_seen: Some(false),
        ..request()
    })
    .unwrap_err();
    assert_eq!(other.0[0].field, "page_token");
}

#[test]
fn no_bytes_make_the_decoder_or_the_checks_panic() {
    let mut rng = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = move || {
        rng ^= rng << 13;
        rng ^= rng >> 7;
        rng ^= rng << 17;
        rng
    };
    let seed = pb::RecommendRequest {
        filter: "year > 3".into(),
        page_token: "a.1.2.3".into(),
        ..request()
    };
    // `make fuzz` goes on for longer.
    #[expect(
        clippy::disallowed_methods,
        reason = "a test is told by the environment"
    )]
    let seconds = std::env::var("FUZZ_SECONDS")
        .map_or(0, |seconds| seconds.parse().unwrap());
    let until = Instant::now() + Duration::from_secs(seconds);
    for round in 0_u64.. {
        if round >= 20_000 && Instant::now() >= until {
            break;
        }
        let mut bytes = if round % 2 == 0 {
            seed.encode_to_vec()
        } else {
            Vec::new()
        };
        for _ in 0..next() % 8 {
            let place = next() as usize % (bytes.len() + 1);
            bytes.insert(place, next() as u8);
        }
        if let Ok(request) = pb::RecommendRequest::decode(&*bytes) {
            drop(asked(request));
        }
    }
}

#[test]
fn all_that_is_wrong_is_told_at_once() {
    fn fields(invalid: Invalid) -> Vec<String> {
        invalid.0.into_iter().map(|one| one.field).collect()
    }
    let wrong = pb::RecommendRequest {
        k: Some(0),
        priority: 9,
        history_use: 7,
        catalog: "..".to_owned(),
        history: vec![inline("", at(0, -1)), inline("a", None)],
        excluded_item_ids: vec![String::new(), "a".to_owned(), String::new()],
        filter: "x".repeat(2_049),
        page_token: "1".to_owned(),
        ..pb::RecommendRequest::default()
    };
    assert_eq!(
        fields(asked(wrong).unwrap_err()),
        [
            "priority",
            "k",
            "history_use",
            "history[0].item_id",
            "history[0].time",
            "catalog",
            "excluded_item_ids[0]",
            "excluded_item_ids[2]",
            "filter",
            "page_token"
        ]
    );
    let invalid = ScoreQuery::try_from(pb::ScoreItemsRequest {
        catalog: "..".to_owned(),
        new_items: vec![pb::NewItem {
            title: "x".repeat(1_025),
            description: "x".repeat(8_193),
            ..pb::NewItem::default()
        }],
        ..pb::ScoreItemsRequest::default()
    });
    assert_eq!(
        fields(invalid.unwrap_err()),
        [
            "user_id",
            "catalog",
            "new_items[0].item_id",
            "new_items[0].title",
            "new_items[0].description"
        ]
    );
    let invalid = SimilarQuery::try_from(pb::SimilarItemsRequest {
        k: Some(0),
        filter: "x".repeat(2_049),
        ..pb::SimilarItemsRequest::default()
    });
    let expected = ["item_id", "k", "filter"];
    assert_eq!(fields(invalid.unwrap_err()), expected);
}
