//! The bounds of each field.

use super::*;
use prost_types::Timestamp;
use std::time::{Duration, Instant};

fn request() -> pb::RecommendRequest {
    pb::RecommendRequest {
        user_id: "u".into(),
        ..Default::default()
    }
}

fn refused(request: pb::RecommendRequest) -> String {
    Query::try_from(request).unwrap_err().0[0].field.clone()
}

#[test]
fn absent_fields_have_defaults() {
    let query = Query::try_from(request()).unwrap();
    assert_eq!((query.k.get(), query.allowed.exclude_seen), (10, true));
    assert_eq!(query.reader.model, ModelChoice::Label(Label::live()));
}

#[test]
fn each_malformed_field_is_named() {
    let long = "x".repeat(257);
    let version = |name: &str| Some(pb::recommend_request::Model::ModelVersion(name.to_owned()));
    let inline = |item: &str, nanos| pb::InlineInteraction {
        item_id: item.to_owned(),
        time: Some(Timestamp { seconds: 0, nanos }),
    };
    assert_eq!(refused(pb::RecommendRequest::default()), "user_id");
    assert_eq!(
        refused(pb::RecommendRequest {
            user_id: long.clone(),
            ..request()
        }),
        "user_id"
    );
    assert_eq!(
        refused(pb::RecommendRequest {
            k: Some(0),
            ..request()
        }),
        "k"
    );
    assert_eq!(
        refused(pb::RecommendRequest {
            k: Some(1_001),
            ..request()
        }),
        "k"
    );
    let ids = vec!["a".to_owned(), long];
    assert_eq!(
        refused(pb::RecommendRequest {
            excluded_item_ids: ids,
            ..request()
        }),
        "excluded_item_ids[1]"
    );
    let ids = vec!["a".to_owned(); 10_001];
    assert_eq!(
        refused(pb::RecommendRequest {
            excluded_item_ids: ids,
            ..request()
        }),
        "excluded_item_ids"
    );
    assert_eq!(
        refused(pb::RecommendRequest {
            model: version("v1"),
            ..request()
        }),
        "model_version"
    );
    let label = Some(pb::recommend_request::Model::Label("Live!".to_owned()));
    assert_eq!(
        refused(pb::RecommendRequest {
            model: label,
            ..request()
        }),
        "label"
    );
    assert_eq!(
        refused(pb::RecommendRequest {
            catalog: "..".to_owned(),
            ..request()
        }),
        "catalog"
    );
    assert_eq!(
        refused(pb::RecommendRequest {
            history: vec![inline("", 0)],
            ..request()
        }),
        "history[0].item_id"
    );
    assert_eq!(
        refused(pb::RecommendRequest {
            history: vec![inline("a", -1)],
            ..request()
        }),
        "history[0].time"
    );
}

#[test]
fn each_new_field_has_its_bounds() {
    let ids = |n: usize| vec!["a".to_owned(); n];
    let timed = |time| {
        vec![pb::InlineInteraction {
            item_id: "a".into(),
            time,
        }]
    };
    let wrong = [
        (
            pb::RecommendRequest {
                candidate_item_ids: ids(10_001),
                ..request()
            },
            "candidate_item_ids",
        ),
        (
            pb::RecommendRequest {
                candidate_item_ids: vec![String::new()],
                ..request()
            },
            "candidate_item_ids[0]",
        ),
        (
            pb::RecommendRequest {
                filter: "x".repeat(2_049),
                ..request()
            },
            "filter",
        ),
        (
            pb::RecommendRequest {
                explain: true,
                k: Some(21),
                ..request()
            },
            "k",
        ),
        (
            pb::RecommendRequest {
                history_use: 7,
                ..request()
            },
            "history_use",
        ),
        (
            pb::RecommendRequest {
                priority: -1,
                ..request()
            },
            "priority",
        ),
        (
            pb::RecommendRequest {
                history: timed(None),
                history_use: 2,
                ..request()
            },
            "history[0].time",
        ),
        (
            pb::RecommendRequest {
                at_time: Some(Timestamp {
                    seconds: 0,
                    nanos: -1,
                }),
                ..request()
            },
            "at_time",
        ),
        (
            pb::RecommendRequest {
                max_staleness: Some(prost_types::Duration {
                    seconds: -1,
                    nanos: 0,
                }),
                ..request()
            },
            "max_staleness",
        ),
        (
            pb::RecommendRequest {
                at_time: Some(Timestamp {
                    seconds: i64::MAX,
                    nanos: 0,
                }),
                ..request()
            },
            "at_time",
        ),
        (
            pb::RecommendRequest {
                page_token: "1".into(),
                ..request()
            },
            "page_token",
        ),
        (
            pb::RecommendRequest {
                page_token: "ab12.7.5.0.0".into(),
                ..request()
            },
            "page_token",
        ),
        (
            pb::RecommendRequest {
                page_token: format!("ab12.7.{}.0", Page::LAST),
                ..request()
            },
            "page_token",
        ),
        (
            pb::RecommendRequest {
                history: vec![timed(None).remove(0); 10_001],
                ..request()
            },
            "history",
        ),
    ];
    for (request, field) in wrong {
        assert_eq!(refused(request), field);
    }
    let good = pb::RecommendRequest {
        candidate_item_ids: ids(10_000),
        excluded_item_ids: ids(10_000),
        filter: "x".repeat(2_048),
        explain: true,
        k: Some(20),
        history: vec![timed(Some(Timestamp::default())).remove(0); 10_000],
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
    let query = Query::try_from(good).unwrap();
    assert!(matches!(query.reader.inline, Inline::Beside(_)) && query.explain);
    assert_eq!(query.reader.catalog.unwrap().to_string(), "books");
    assert_eq!(query.reader.max_staleness, Duration::from_secs(60));
}

#[test]
fn items_to_score_and_similar_items_have_the_same_bounds() {
    let score = |request: pb::ScoreItemsRequest| {
        ScoreQuery::try_from(request).unwrap_err().0[0]
            .field
            .clone()
    };
    let items = |n: usize| pb::ScoreItemsRequest {
        user_id: "u".into(),
        item_ids: vec!["a".to_owned(); n],
        ..Default::default()
    };
    assert_eq!(
        (score(items(0)), score(items(10_001))),
        ("item_ids".to_owned(), "item_ids".to_owned())
    );
    assert_eq!(
        score(pb::ScoreItemsRequest {
            item_ids: vec![String::new()],
            ..items(0)
        }),
        "item_ids[0]"
    );
    assert_eq!(
        score(pb::ScoreItemsRequest {
            user_id: String::new(),
            ..items(1)
        }),
        "user_id"
    );
    assert_eq!(
        score(pb::ScoreItemsRequest {
            catalog: "..".into(),
            ..items(1)
        }),
        "catalog"
    );
    assert_eq!(
        ScoreQuery::try_from(items(10_000)).unwrap().items.len(),
        10_000
    );

    let alike = |request: pb::SimilarItemsRequest| {
        SimilarQuery::try_from(request).unwrap_err().0[0]
            .field
            .clone()
    };
    let of = |item: &str, k| pb::SimilarItemsRequest {
        item_id: item.into(),
        k: Some(k),
        ..Default::default()
    };
    assert_eq!(
        (alike(of("", 1)), alike(of("a", 0)), alike(of("a", 1_001))),
        ("item_id".into(), "k".into(), "k".into())
    );
    assert_eq!(
        alike(pb::SimilarItemsRequest {
            filter: "x".repeat(2_049),
            ..of("a", 1)
        }),
        "filter"
    );
    let label = Some(pb::similar_items_request::Model::Label("Live!".into()));
    assert_eq!(
        alike(pb::SimilarItemsRequest {
            model: label,
            ..of("a", 1)
        }),
        "label"
    );
    assert_eq!(
        SimilarQuery::try_from(of("a", 1_000)).unwrap().k.get(),
        1_000
    );
}

#[test]
fn a_page_token_goes_on_with_the_same_request_and_no_other() {
    let first = Query::try_from(pb::RecommendRequest {
        k: Some(5),
        ..request()
    })
    .unwrap();
    let next = Page {
        version: ModelVersion::new("ab12").unwrap(),
        at_ms: 7,
        offset: 5,
    };
    let page_token = page_token(&next, first.digest);
    let of = |request: pb::RecommendRequest| {
        Query::try_from(pb::RecommendRequest {
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
    let seconds = std::env::var("FUZZ_SECONDS").map_or(0, |seconds| seconds.parse().unwrap());
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
            drop(Query::try_from(request));
        }
    }
}
