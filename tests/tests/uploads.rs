//! A small file becomes a data set over the API: what is said of it, what is
//! refused, and that nothing is left of what fails.
#![allow(clippy::unwrap_used, reason = "tests")]

use e2e::{Cluster, bad_fields};
use proto::pb;
use proto::pb::import_dataset_request::{Options, Part, Split};
use tonic::{Code, Status};

/// A shop's orders: twenty users with six of ten items each, one order twice.
fn orders() -> String {
    let mut rows = "customer,sku,ordered\n".to_owned();
    for user in 0..20 {
        for place in 0..6 {
            let item = (user + place) % 10;
            let day = place + 1;
            rows.push_str(&format!("c{user:02},s{item},2024-05-{day:02}\n"));
        }
    }
    rows.push_str("c00,s0,2024-06-01\n");
    rows
}

fn products() -> String {
    let mut rows = "sku,title,category\n".to_owned();
    for item in 0..10 {
        rows.push_str(&format!("s{item},Tea number {item},Kitchen > Tea\n"));
    }
    rows
}

fn options() -> Options {
    Options {
        file_name: "orders.csv".to_owned(),
        items_file_name: "products.csv".to_owned(),
        display_name: "shop".to_owned(),
        ..Options::default()
    }
}

/// What a client sends, each file in pieces of some bytes.
fn parts(options: Options, files: [&[u8]; 2]) -> Vec<Part> {
    let mut parts = vec![Part::Options(options)];
    for piece in files[0].chunks(700) {
        parts.push(Part::Interactions(piece.to_vec()));
    }
    for piece in files[1].chunks(70) {
        parts.push(Part::Items(piece.to_vec()));
    }
    parts
}

async fn import(
    cluster: &Cluster,
    parts: Vec<Part>,
) -> Result<pb::ImportDatasetResponse, Status> {
    let message = |part| pb::ImportDatasetRequest { part: Some(part) };
    let messages: Vec<_> = parts.into_iter().map(message).collect();
    let messages = tokio_stream::iter(messages);
    let answer = cluster.datasets().import_dataset(messages).await?;
    Ok(answer.into_inner())
}

async fn n_datasets(cluster: &Cluster) -> usize {
    let request = pb::ListDatasetsRequest {};
    let listed = cluster.datasets().list_datasets(request).await.unwrap();
    listed.into_inner().datasets.len()
}

async fn n_events(cluster: &Cluster, user: &str) -> usize {
    let request = pb::GetHistoryRequest {
        user_id: user.to_owned(),
        ..Default::default()
    };
    let history = cluster.histories().get_history(request).await.unwrap();
    history.into_inner().interactions.len()
}

#[tokio::test]
async fn a_file_is_looked_at_imported_and_trained_on() {
    let cluster = Cluster::start().await;
    let (orders, products) = (orders(), products());
    let files = [orders.as_bytes(), products.as_bytes()];
    let checked = Options {
        validate_only: true,
        ..options()
    };
    let told = import(&cluster, parts(checked, files)).await.unwrap();
    let would_be = told.details.unwrap();
    assert_eq!(would_be.dataset.unwrap().name, "");
    assert_eq!(n_datasets(&cluster).await, 0);
    assert_eq!(n_events(&cluster, "c00").await, 0);

    let answer = import(&cluster, parts(options(), files)).await.unwrap();
    assert_eq!((answer.n_seeded, answer.n_replaced), (120, 0));
    let details = answer.details.unwrap();
    let dataset = details.dataset.clone().unwrap();
    assert_eq!((dataset.n_users, dataset.n_items), (20, 10));
    assert_eq!(dataset.display_name, "shop");
    assert_eq!(n_events(&cluster, "c00").await, 6);
    assert_would_be_as_it_is(&would_be.profile, &details.profile);

    // What the command line imports is the same data set.
    let folder = cluster.folder();
    let path = folder.join("orders.csv");
    std::fs::write(&path, &orders).unwrap();
    std::fs::write(folder.join("products.csv"), &products).unwrap();
    let [path, items] = [path, folder.join("products.csv")];
    let again = cluster.cli_json(&[
        "dataset",
        "import",
        path.to_str().unwrap(),
        "--items",
        items.to_str().unwrap(),
        "--name",
        "shop",
    ]);
    let id = dataset.name.strip_prefix("datasets/").unwrap();
    assert_eq!(again["dataset"], id);

    let request = pb::GetDatasetRequest {
        name: dataset.name.clone(),
    };
    let shown = cluster.datasets().get_dataset(request).await.unwrap();
    let shown = shown.into_inner();
    assert_eq!(shown.profile, details.profile);
    let import = shown.import.unwrap();
    assert_eq!((import.n_read, import.n_repeats), (121, 1));
    assert!(import.columns[0].contains("customer as user"), "{import:?}");
    cluster.train(id, &[]).await;
}

/// What a data set looks like does not depend on whether it is stored.
fn assert_would_be_as_it_is(
    would_be: &Option<pb::DatasetProfile>,
    is: &Option<pb::DatasetProfile>,
) {
    let profile = is.as_ref().unwrap();
    assert_eq!(would_be.as_ref(), Some(profile));
    let users: u64 = profile
        .users_by_interactions
        .iter()
        .map(|band| band.n)
        .sum();
    assert_eq!(users, 20);
    let [band] = &profile.users_by_interactions[..] else {
        panic!("all have six: {profile:?}");
    };
    assert_eq!((band.from, band.to), (5, 8));
    assert_eq!(profile.interactions.len(), 10);
    assert_eq!(profile.items[0].title, "Tea number 0");
    assert_eq!(profile.items[0].n_interactions, 12);
    let first = profile.first_time.unwrap();
    assert_eq!(first.to_string(), "2024-05-01T00:00:00Z");
}

#[tokio::test]
async fn a_corrected_file_takes_the_place_of_the_other_and_a_part_does_not_by_itself()
 {
    let cluster = Cluster::start_without_worker().await;
    let products = products();
    let wrong = orders().replace("c07", "typo");
    let files = [wrong.as_bytes(), products.as_bytes()];
    import(&cluster, parts(options(), files)).await.unwrap();
    assert_eq!(n_events(&cluster, "typo").await, 6);
    let right = orders();
    let files = [right.as_bytes(), products.as_bytes()];
    let answer = import(&cluster, parts(options(), files)).await.unwrap();
    assert_eq!((answer.n_seeded, answer.n_replaced), (6, 6));
    assert_eq!(n_events(&cluster, "typo").await, 0);

    let part: Vec<&str> = right.lines().take(61).collect();
    let part = part.join("\n");
    let files = [part.as_bytes(), products.as_bytes()];
    let status = import(&cluster, parts(options(), files)).await.unwrap_err();
    assert_eq!(status.code(), Code::FailedPrecondition, "{status}");
    assert!(status.message().contains("lacks 60 of its 120"), "{status}");
    assert_eq!(n_events(&cluster, "c19").await, 6);
    let meant = Options {
        replace: true,
        ..options()
    };
    let answer = import(&cluster, parts(meant, files)).await.unwrap();
    assert_eq!(answer.n_replaced, 60);
    assert_eq!(n_events(&cluster, "c19").await, 0);
}

#[tokio::test]
async fn imports_of_one_name_at_once_leave_the_histories_of_one() {
    let cluster = Cluster::start_without_worker().await;
    let products = products();
    let renamed = |user| orders().replace("\nc", &format!("\n{user}"));
    let [one, other] = ["a", "b"].map(renamed);
    let meant = || Options {
        replace: true,
        ..options()
    };
    let send = |rows: String| {
        let files = [rows.as_bytes(), products.as_bytes()];
        import(&cluster, parts(meant(), files))
    };
    let (one, other) = tokio::join!(send(one), send(other));
    let (one, other) = (one.unwrap(), other.unwrap());
    assert_eq!((one.n_seeded, other.n_seeded), (120, 120));
    let mut replaced = [one.n_replaced, other.n_replaced];
    replaced.sort_unstable();
    assert_eq!(replaced, [0, 120], "the second takes the first one's place");
    let [a, b] = [n_events(&cluster, "a00"), n_events(&cluster, "b00")];
    assert_eq!(a.await + b.await, 6);
}

#[tokio::test]
async fn what_is_no_upload_is_refused_and_leaves_nothing() {
    let cluster = Cluster::start_without_worker().await;
    let (orders, products) = (orders(), products());
    let files = [orders.as_bytes(), products.as_bytes()];
    let refused = async |parts: Vec<Part>| {
        let status = import(&cluster, parts).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument, "{status}");
        (bad_fields(&status), status.message().to_owned())
    };
    let (fields, _) = refused(Vec::new()).await;
    assert_eq!(fields, ["options"]);
    let (fields, _) = refused(vec![Part::Interactions(vec![1])]).await;
    assert_eq!(fields, ["options"]);
    let mut twice = parts(options(), files);
    twice.push(Part::Options(options()));
    assert_eq!(refused(twice).await.0, ["options"]);
    let unnamed = Options {
        items_file_name: String::new(),
        ..options()
    };
    assert_eq!(refused(parts(unnamed, files)).await.0, ["items"]);
    let empty = parts(options(), [b"", files[1]]);
    assert_eq!(refused(empty).await.0, ["interactions"]);
    let packed = parts(options(), [b"\x1f\x8b\x08 packed", files[1]]);
    assert_eq!(refused(packed).await.0, ["interactions"]);
    let wrong = Options {
        file_name: "../orders.csv".to_owned(),
        split: Split::Random as i32 + 7,
        min_rating: Some(f64::INFINITY),
        ..options()
    };
    let (mut fields, _) = refused(parts(wrong, files)).await;
    fields.sort_unstable();
    assert_eq!(fields, ["file_name", "min_rating", "split"]);

    // The reader says what and where; where the file lay says nothing.
    let (_, said) = refused(parts(options(), [b"a,b\n1,2\n", files[1]])).await;
    assert!(
        said.contains("orders.csv") && !said.contains("/tmp"),
        "{said}"
    );

    let large = vec![b'x'; 128 << 10];
    let mut too_large = vec![Part::Options(Options {
        items_file_name: String::new(),
        ..options()
    })];
    for _ in 0..257 {
        too_large.push(Part::Interactions(large.clone()));
    }
    let status = import(&cluster, too_large).await.unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted, "{status}");
    assert_eq!(n_datasets(&cluster).await, 0);
}

#[tokio::test]
async fn a_data_set_that_is_not_there_is_not_found() {
    let cluster = Cluster::start_without_worker().await;
    for (name, code) in [
        ("datasets/0123456789abcdef0123456789abcdef", Code::NotFound),
        ("datasets/../x", Code::InvalidArgument),
        ("", Code::InvalidArgument),
    ] {
        let request = pb::GetDatasetRequest {
            name: name.to_owned(),
        };
        let status = cluster.datasets().get_dataset(request).await.unwrap_err();
        assert_eq!(status.code(), code, "{name}: {status}");
    }
}
