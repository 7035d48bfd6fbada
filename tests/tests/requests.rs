//! Every field of a request through the real scorer: what it does, and what it
//! refuses.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::path::Path;

use e2e::{
    Cluster, bad_fields, ids, inline, interaction, kinds, request,
    write_two_groups,
};
use proto::pb;
use proto::pb::degradation::Kind;
use proto::pb::recommended_item::Source;
use tonic::Code;

async fn refused(
    cluster: &Cluster,
    request: pb::RecommendRequest,
) -> (Vec<String>, String) {
    let status = cluster
        .recommendations()
        .recommend(request)
        .await
        .unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument, "{status}");
    (bad_fields(&status), status.message().to_owned())
}

fn at(seconds: i64) -> Option<prost_types::Timestamp> {
    Some(prost_types::Timestamp { seconds, nanos: 0 })
}

#[tokio::test]
async fn pages_follow_each_other_and_stay_of_one_list() {
    let cluster = Cluster::start_with_model().await.asked_both_ways();
    let whole = cluster.recommend(request("u0", 13)).await;
    assert_eq!(whole.next_page_token, "");
    let first = cluster.recommend(request("u0", 5)).await;
    // What happens meanwhile changes new lists, not this one.
    cluster
        .record(vec![interaction("u0", ids(&whole.items)[7], "")])
        .await;
    let next = |page_token: &str| pb::RecommendRequest {
        page_token: page_token.to_owned(),
        ..request("u0", 5)
    };
    let second = cluster.recommend(next(&first.next_page_token)).await;
    let third = cluster.recommend(next(&second.next_page_token)).await;
    assert_eq!(first.n_scored, 20);
    let all = [first.items, second.items, third.items.clone()].concat();
    assert_eq!(all, whole.items, "ranks and scores too");
    assert!(all.iter().all(|item| item.title.ends_with(&format!(
        "part {}",
        item.item_id[1..].parse::<u32>().unwrap()
    ))));
    assert_eq!(
        (third.items.len(), third.next_page_token),
        (3, String::new())
    );
    assert_eq!(cluster.recommend(request("u0", 13)).await.items.len(), 12);

    let other = pb::RecommendRequest {
        exclude_seen: Some(false),
        ..next(&first.next_page_token)
    };
    assert_eq!(refused(&cluster, other).await.0, ["page_token"]);
}

#[tokio::test]
async fn candidates_and_filters_bound_the_list() {
    let cluster = Cluster::start_with_model().await.asked_both_ways();
    let whole = cluster.recommend(request("u0", 20)).await;
    let candidates: Vec<String> = ["i12", "i07", "never-heard-of", "i00"]
        .map(str::to_owned)
        .to_vec();
    let among = cluster
        .recommend(pb::RecommendRequest {
            candidate_item_ids: candidates,
            ..request("u0", 5)
        })
        .await;
    // i00 is seen.
    let wanted: Vec<&str> = ids(&whole.items)
        .into_iter()
        .filter(|id| ["i12", "i07"].contains(id))
        .collect();
    assert_eq!(ids(&among.items), wanted);
    assert_eq!(
        kinds(&among),
        [Kind::UnknownCandidates, Kind::FewerThanAsked]
    );

    let filtered = |filter: &str| pb::RecommendRequest {
        filter: filter.to_owned(),
        ..request("u0", 4)
    };
    let space = cluster
        .recommend(filtered(r#"category in ["Space"] && year >= 2000"#))
        .await;
    assert_eq!(space.items.len(), 3, "i07, i08 and i09 are not seen");
    assert!(ids(&space.items).iter().all(|id| *id < "i10"));
    assert_eq!(kinds(&space), [Kind::FewerThanAsked]);
    let relaxed = pb::RecommendRequest {
        relax_filter: true,
        ..filtered(r#"category == "Space""#)
    };
    let relaxed = cluster.recommend(relaxed).await;
    assert_eq!(ids(&relaxed.items)[..3], ids(&space.items));
    assert_eq!(
        (relaxed.items.len(), kinds(&relaxed)),
        (4, vec![Kind::FilterRelaxed])
    );

    let (fields, message) = refused(&cluster, filtered("colour == 1")).await;
    assert!(
        fields == ["filter"] && message.contains("year"),
        "{message}"
    );
    assert_eq!(refused(&cluster, filtered("year >=")).await.0, ["filter"]);
    for (filter, said) in [
        (r#"title.matches("x")"#, "is no function of a filter"),
        ("title == 5", "`title` is text"),
        ("1/0", "`1 / 0` divides by zero"),
    ] {
        let (fields, message) = refused(&cluster, filtered(filter)).await;
        assert_eq!(fields, ["filter"]);
        assert!(message.contains(said), "{filter}: {message}");
    }
}

#[tokio::test]
async fn a_relaxed_list_goes_on_with_others_in_the_middle_of_a_page_and_says_on_which()
 {
    let cluster = Cluster::start_with_model().await.asked_both_ways();
    let relaxed = |k| pb::RecommendRequest {
        filter: r#"category == "Space""#.into(),
        relax_filter: true,
        ..request("u0", k)
    };
    let whole = cluster.recommend(relaxed(13)).await;
    let (mut pages, mut page_token) = (Vec::new(), String::new());
    for _ in 0..3 {
        let page = cluster
            .recommend(pb::RecommendRequest {
                page_token,
                ..relaxed(2)
            })
            .await;
        page_token = page.next_page_token.clone();
        pages.push(page);
    }
    // Three pass: the second page has one of them and the best of the others.
    assert_eq!(
        pages.iter().map(kinds).collect::<Vec<_>>(),
        [vec![], vec![Kind::FilterRelaxed], vec![Kind::FilterRelaxed]]
    );
    assert!(
        pages[1].degradations[0].message.contains("the last 1 "),
        "{:?}",
        pages[1].degradations
    );
    let items: Vec<_> = pages.into_iter().flat_map(|page| page.items).collect();
    assert_eq!(items, whole.items[..6]);
}

#[tokio::test]
async fn the_history_is_as_of_a_time_or_joined_by_what_comes_with_the_request()
{
    let cluster = Cluster::start_with_model().await.asked_both_ways();
    // The data set's times are 0, 1, … seconds.
    let early = cluster
        .recommend(pb::RecommendRequest {
            at_time: at(2),
            ..request("u0", 20)
        })
        .await;
    let now = cluster.recommend(request("u0", 20)).await;
    assert_eq!((early.history_length, now.history_length), (3, 7));
    assert!(
        ids(&early.items).contains(&"i05"),
        "what came later is not seen yet"
    );

    let late = pb::InlineInteraction {
        item_id: "i19".into(),
        time: at(100),
    };
    let merge = pb::recommend_request::HistoryUse::Merge.into();
    let joined = pb::RecommendRequest {
        history: vec![late.clone()],
        history_use: merge,
        ..request("u0", 20)
    };
    let joined = cluster.recommend(joined).await;
    assert_eq!(joined.history_length, 8);
    assert!(
        !ids(&joined.items).contains(&"i19")
            && !ids(&joined.items).contains(&"i00")
    );
    let instead = pb::RecommendRequest {
        history: vec![late],
        ..request("u0", 20)
    };
    let instead = cluster.recommend(instead).await;
    assert_eq!(instead.history_length, 1);
    assert!(ids(&instead.items).contains(&"i00"));
}

#[tokio::test]
async fn an_old_history_is_used_only_where_the_request_allows_it_and_is_read_again()
 {
    let cluster = Cluster::start_with_model().await;
    let first = cluster.recommend(request("u0", 1)).await;
    let item = ids(&first.items)[0].to_owned();
    // Another replica records: this one still remembers the history without it.
    let (_scorer, port) = cluster.start_scorer(&[]).await;
    cluster
        .record_at(port, vec![interaction("u0", &item, "")])
        .await;
    let at_most = |seconds, nanos| pb::RecommendRequest {
        max_staleness: Some(prost_types::Duration { seconds, nanos }),
        ..request("u0", 1)
    };
    let stale = || at_most(600, 0);
    let old = cluster.recommend(stale()).await;
    assert_eq!(
        (ids(&old.items), kinds(&old)),
        (vec![&*item], vec![Kind::StaleHistory])
    );
    e2e::eventually(
        "the history is read again",
        std::time::Duration::from_secs(10),
        async || {
            (!ids(&cluster.recommend(stale()).await.items).contains(&&*item))
                .then_some(())
        },
    )
    .await;
    let now = cluster.recommend(request("u0", 1)).await;
    assert!(!ids(&now.items).contains(&&*item));
    cluster
        .record_at(port, vec![interaction("u0", ids(&now.items)[0], "")])
        .await;
    let older_than_allowed = cluster.recommend(at_most(0, 1)).await;
    assert_ne!(
        ids(&older_than_allowed.items),
        ids(&now.items),
        "it is read, and not said to be stale"
    );
    assert_eq!(kinds(&older_than_allowed), []);
}

/// The two groups, and thirty items that nobody had had when the model was
/// trained.
fn write_with_cold_items(folder: &Path) {
    write_two_groups(folder);
    let append = |name: &str, lines: String| {
        let path = folder.join(name);
        std::fs::write(&path, std::fs::read_to_string(&path).unwrap() + &lines)
            .unwrap();
    };
    append(
        "interactions.csv",
        (20..50)
            .map(|item| format!("u{item},i{item},8,test\n"))
            .collect(),
    );
    let item = |item| {
        format!(
            "{{\"item_id\": \"i{item}\", \"title\": \"A garden game, part {item}\"}}\n"
        )
    };
    append("items.jsonl", (20..50).map(item).collect());
}

#[tokio::test]
async fn an_item_that_nobody_has_had_is_said_to_be_one_and_a_history_that_does_not_fit_to_be_cut()
 {
    let cluster = Cluster::start().await;
    let data = cluster.folder().join("with-cold-items");
    write_with_cold_items(&data);
    let dataset = cluster.import(&data);
    cluster
        .train(&dataset, &["finetuning.final_fit=false"])
        .await;
    cluster.wait_until_ready().await;
    let all = cluster
        .recommend(pb::RecommendRequest {
            exclude_seen: Some(false),
            ..request("u0", 50)
        })
        .await;
    assert_eq!(all.items.len(), 50);
    for item in &all.items {
        assert_eq!(
            item.source() == Source::ColdStart,
            *item.item_id >= *"i20",
            "{item:?}"
        );
    }

    // 23 items and the words fit into the 32 positions of the tiny backbone.
    let items: Vec<String> =
        (0..30).map(|item| format!("i{item:02}")).collect();
    let latest = |n: usize| {
        let history = inline(
            &items[30 - n..]
                .iter()
                .map(String::as_str)
                .collect::<Vec<_>>(),
        );
        pb::RecommendRequest {
            history,
            exclude_seen: Some(false),
            ..request("", 10)
        }
    };
    let (fits, cut) = (
        cluster.recommend(latest(23)).await,
        cluster.recommend(latest(30)).await,
    );
    assert_eq!((fits.history_length, kinds(&fits)), (23, vec![]));
    assert_eq!(
        (cut.history_length, kinds(&cut)),
        (23, vec![Kind::TruncatedHistory])
    );
    assert!(cut.cached, "the prompt is the same");
    let unseen = cluster
        .recommend(pb::RecommendRequest {
            exclude_seen: None,
            ..latest(30)
        })
        .await;
    assert!(
        ids(&unseen.items).iter().all(|id| *id >= "i30"),
        "all of it is seen: {:?}",
        ids(&unseen.items)
    );
}

#[tokio::test]
async fn reasons_are_items_of_the_history() {
    let cluster = Cluster::start_with_model().await.asked_both_ways();
    let answer = cluster
        .recommend(pb::RecommendRequest {
            explain: true,
            ..request("u0", 3)
        })
        .await;
    for item in &answer.items {
        assert_eq!(item.reasons.len(), 7);
        assert!(
            item.reasons
                .iter()
                .all(|reason| ("i00"..="i06").contains(&&*reason.item_id))
        );
        assert!(item.reasons.is_sorted_by(
            |one, other| one.contribution.abs() >= other.contribution.abs()
        ));
    }
    // The same items and scores as without.
    let plain = cluster.recommend(request("u0", 3)).await;
    assert_eq!(ids(&plain.items), ids(&answer.items));
    assert!(plain.items.iter().all(|item| item.reasons.is_empty()));
    assert_eq!(
        refused(
            &cluster,
            pb::RecommendRequest {
                explain: true,
                ..request("u0", 21)
            }
        )
        .await
        .0,
        ["k"]
    );
}
