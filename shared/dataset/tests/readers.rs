//! Every form that is read, each from a small file as its publisher writes it
//! (`files/`).
#![allow(clippy::unwrap_used, reason = "tests")]

use std::path::{Path, PathBuf};

use dataset::{
    Columns, Dataset, Error, Format, ImportOptions, Report, Split, SplitRule,
    TextKind, import,
};
use domain::Item;

fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/files")
        .join(name)
}

fn read(name: &str) -> Dataset {
    import(&file(name), &ImportOptions::default()).unwrap().0
}

fn counts(data: &Dataset) -> (usize, usize, usize) {
    (
        data.manifest.n_users,
        data.manifest.n_items,
        data.manifest.n_interactions,
    )
}

fn item<'a>(data: &'a Dataset, id: &str) -> &'a Item {
    data.items
        .iter()
        .find(|item| item.id.as_str() == id)
        .unwrap()
}

fn write(content: &str) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rows.csv");
    std::fs::write(&path, content).unwrap();
    (folder, path)
}

fn import_text(
    content: &str,
    options: &ImportOptions,
) -> Result<(Dataset, Report), Error> {
    let (_folder, path) = write(content);
    import(&path, options)
}

#[test]
fn movielens_100k() {
    let data = read("ml-100k");
    assert_eq!(counts(&data), (2, 3, 4));
    assert_eq!(item(&data, "10").title, "Café Noir (1995)");
    assert_eq!(item(&data, "10").categories, ["Drama", "Film-Noir"]);
    assert_eq!(item(&data, "11").title, "Toys & Games (1996)");
    assert_eq!(data.interactions.at_ms[0], 881_250_949_000);
}

#[test]
fn movielens_1m() {
    let data = read("ml-1m");
    assert_eq!(counts(&data), (2, 3, 4));
    assert_eq!(item(&data, "10").title, "Café Noir (1995)");
    assert_eq!(
        (
            &item(&data, "11").categories[..],
            item(&data, "12").categories.len()
        ),
        (&["Animation".to_owned()][..], 0)
    );
}

#[test]
fn movielens_25m() {
    let data = read("ml-25m");
    assert_eq!(counts(&data), (2, 3, 4));
    assert_eq!(item(&data, "10").title, "Noir, Café (1995)");
}

#[test]
fn amazon_2014() {
    let data = read("amazon-2014");
    assert_eq!(counts(&data), (2, 2, 3));
    let first = item(&data, "B1");
    assert_eq!(
        first.title, "Tom & Jerry",
        "the metadata are printed Python"
    );
    assert_eq!(first.categories, ["Toys", "Kids' Cartoons"]);
    assert_eq!(
        (&first.attributes["brand"], &first.attributes["price"]),
        (&"ACME".into(), &9.99.into())
    );
    let kinds: Vec<TextKind> =
        data.texts.iter().map(|text| text.kind).collect();
    assert_eq!(
        kinds,
        [TextKind::Review, TextKind::Review, TextKind::Description],
        "an empty review is no text"
    );
    assert_eq!(data.texts[2].text, "Two of \"them\".");
}

#[test]
fn amazon_2018() {
    let data = read("amazon-2018");
    assert_eq!(counts(&data), (2, 2, 3));
    assert_eq!(item(&data, "B1").categories, ["Toys", "Balls"]);
    assert_eq!(
        data.texts
            .iter()
            .map(|text| text.text.as_str())
            .collect::<Vec<_>>(),
        ["Good", "Round."]
    );
}

#[test]
fn parquet() {
    let data = read("ratings.parquet");
    assert_eq!(counts(&data), (3, 3, 6));
    assert_eq!(data.interactions.at_ms[0], 1_400_000_000_000);
    let options = ImportOptions {
        min_rating: Some(3.0),
        ..ImportOptions::default()
    };
    let (data, report) = import(&file("ratings.parquet"), &options).unwrap();
    assert_eq!(
        (data.manifest.n_interactions, report.n_below_rating),
        (4, 2)
    );
}

#[test]
fn scipy_matrices_keep_their_split() {
    let data = read("npz");
    assert_eq!(counts(&data), (3, 4, 10));
    assert_eq!(
        data.histories(Split::Train),
        [vec![0, 1], vec![1, 2], vec![0, 3]]
    );
    assert_eq!(data.histories(Split::Valid), [vec![2], vec![], vec![]]);
    assert_eq!(data.histories(Split::Test), [vec![3], vec![0], vec![1]]);
}

#[test]
fn jsonl_and_tsv_with_guessed_and_given_columns() {
    assert_eq!(counts(&read("log.jsonl")), (2, 2, 3));
    let columns = Columns {
        user: Some("customer".to_owned()),
        timestamp: Some("seen at".to_owned()),
        ..Columns::default()
    };
    let options = ImportOptions {
        columns,
        ..ImportOptions::default()
    };
    let (data, _) = import(&file("shop.tsv"), &options).unwrap();
    assert_eq!(
        (counts(&data), data.interactions.at_ms[0]),
        ((2, 2, 3), 1_400_000_000_000)
    );
    let columns = Columns {
        rating: Some("stars".to_owned()),
        ..options.columns
    };
    let missing = import(
        &file("shop.tsv"),
        &ImportOptions {
            columns,
            ..ImportOptions::default()
        },
    );
    assert!(
        missing
            .unwrap_err()
            .to_string()
            .contains("no column `stars`"),
        "a column that was named must be there"
    );
    let unknown = import_text("who,what\na,x\n", &ImportOptions::default())
        .unwrap_err()
        .to_string();
    assert!(
        unknown.contains("--user-column") && unknown.contains("who, what"),
        "{unknown}"
    );
}

#[test]
fn the_shipped_example_has_the_numbers_of_its_readme() {
    let data = import(
        Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/games")),
        &ImportOptions::default(),
    );
    assert_eq!(counts(&data.unwrap().0), (2_498, 2_493, 37_243));
}

#[test]
fn what_is_read_back_is_what_was_written_and_the_content_is_its_name() {
    let data = read("amazon-2014");
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    folders
        .iter()
        .for_each(|folder| data.write(folder.path()).unwrap());
    assert_eq!(Dataset::read(folders[0].path()).unwrap(), data);
    for name in [
        "dataset.json",
        "interactions.safetensors",
        "users.json",
        "items.jsonl",
        "texts.jsonl",
    ] {
        let [first, second] = [0, 1]
            .map(|n| std::fs::read(folders[n].path().join(name)).unwrap());
        assert!(first == second, "{name} is the same every time");
    }
}

#[test]
fn refused_lines_are_counted_and_the_first_ones_shown_with_line_and_reason() {
    let rows =
        "user_id,item_id,timestamp\na,x,1\n,x,2\na,y,soon\nb,y,3\na,x\nb,x,4\n";
    let lenient = ImportOptions {
        max_refused_share: 0.5,
        ..ImportOptions::default()
    };
    let (data, report) = import_text(rows, &lenient).unwrap();
    assert_eq!(
        (
            data.manifest.n_interactions,
            report.n_read,
            report.n_refused,
            report.n_missing
        ),
        (3, 6, 2, 1)
    );
    let reasons: Vec<(usize, &str)> = report
        .refusals
        .iter()
        .map(|r| (r.line, r.reason.as_str()))
        .collect();
    assert!(
        reasons[0].0 == 4 && reasons[0].1.contains("`soon`"),
        "{reasons:?}"
    );
    assert_eq!(reasons[1], (6, "has 2 cells, the header has 3"));
    assert!(
        report.warnings[0]
            .starts_with("rows without a user id were left out: 1")
            && report.warnings[0].ends_with("rows.csv:3"),
        "{:?}",
        report.warnings
    );
    let strict = import_text(rows, &ImportOptions::default()).unwrap_err();
    assert!(
        matches!(
            strict,
            Error::TooManyRefused {
                refused: 2,
                read: 6,
                ..
            }
        ),
        "{strict}"
    );
}

#[test]
fn the_earliest_of_a_repeat_is_kept_and_rows_are_in_the_order_of_ids() {
    let rows = "user_id,item_id,timestamp,split\nb,y,5,train\nb,x,3,train\nb,y,1,train\na,z,1,train\na,y,1,valid\n";
    let (data, report) = import_text(rows, &ImportOptions::default()).unwrap();
    assert_eq!(report.n_repeats, 1);
    assert_eq!(
        data.users
            .iter()
            .map(|user| user.as_str())
            .collect::<Vec<_>>(),
        ["a", "b"]
    );
    assert_eq!(
        data.items
            .iter()
            .map(|item| item.id.as_str())
            .collect::<Vec<_>>(),
        ["x", "y", "z"]
    );
    assert_eq!(
        data.histories(Split::Train),
        [vec![2], vec![1, 0]],
        "time first, then the item's id"
    );
    assert_eq!(data.histories(Split::Valid), [vec![1], vec![]]);
}

#[test]
fn a_random_split_does_not_depend_on_the_order_of_the_lines() {
    let options = ImportOptions {
        split: SplitRule::Random { seed: 3 },
        ..ImportOptions::default()
    };
    let mut lines: Vec<String> =
        (0..60).map(|n| format!("u{},i{n:02},{n}", n % 4)).collect();
    let (data, _) = import_text(
        &format!("user_id,item_id,timestamp\n{}\n", lines.join("\n")),
        &options,
    )
    .unwrap();
    lines.reverse();
    let (same, _) = import_text(
        &format!("user_id,item_id,timestamp\n{}\n", lines.join("\n")),
        &options,
    )
    .unwrap();
    assert_eq!(data, same);
    let leave_last_out = ImportOptions {
        split: SplitRule::LeaveLastOut,
        ..ImportOptions::default()
    };
    let timeless =
        import_text("user_id,item_id\na,x\na,y\nb,x\n", &leave_last_out)
            .unwrap_err()
            .to_string();
    assert!(timeless.contains("timestamp"), "{timeless}");
}

#[test]
fn nothing_to_train_on_is_an_error_that_says_so() {
    let options = ImportOptions {
        k_core: 5,
        split: SplitRule::Random { seed: 0 },
        ..ImportOptions::default()
    };
    let empty = import_text("user_id,item_id\na,x\nb,y\n", &options)
        .unwrap_err()
        .to_string();
    assert!(empty.contains("nothing to train on"), "{empty}");
    let missing =
        import(Path::new("no/such/file.csv"), &ImportOptions::default())
            .unwrap_err()
            .to_string();
    assert!(missing.contains("no/such/file.csv"), "{missing}");
    let wrong = ImportOptions {
        format: Some(Format::Npz),
        ..ImportOptions::default()
    };
    assert!(
        import(&file("ml-1m"), &wrong)
            .unwrap_err()
            .to_string()
            .contains("train_matrix.npz")
    );
}

#[test]
fn an_item_that_nobody_took_is_in_the_catalogue_when_wanted() {
    let folder = tempfile::tempdir().unwrap();
    let rows = "user_id,item_id,split\nu1,a,train\nu1,c,train\nu2,a,train\nu2,c,train\nu3,e,train\n";
    std::fs::write(folder.path().join("interactions.csv"), rows).unwrap();
    let items = "{\"item_id\": \"b\", \"title\": \"brand new\"}\n{\"item_id\": \"d\"}\n{\"item_id\": \"e\", \"title\": \"taken once\"}\n{\"item_id\": \"c\", \"title\": \"sea\"}\n";
    std::fs::write(folder.path().join("items.jsonl"), items).unwrap();
    let ids = |with_new_items| -> Vec<String> {
        let options = ImportOptions {
            with_new_items,
            k_core: 2,
            ..ImportOptions::default()
        };
        let (dataset, _) = import(folder.path(), &options).unwrap();
        dataset
            .items
            .iter()
            .map(|item| item.id.to_string())
            .collect()
    };
    assert_eq!(ids(false), ["a", "c"]);
    assert_eq!(
        ids(true),
        ["a", "b", "c"],
        "`d` has no title to be ranked by, `e` is not new: the core left it out"
    );
}

#[test]
fn a_column_of_categories_that_was_named_is_it() {
    let (_folder, path) = write("user,item\nu,a\nu,b\nv,a\n");
    let items = path.with_file_name("products.csv");
    let lines = "item,title,category,warengruppe\na,Pot,1,Kitchen > Tea\nb,Cup,2,Kitchen\n";
    std::fs::write(&items, lines).unwrap();
    let mut options = ImportOptions {
        items: Some(items),
        ..ImportOptions::default()
    };
    options.columns.category = Some("warengruppe".to_owned());
    let (data, _) = import(&path, &options).unwrap();
    assert_eq!(item(&data, "a").categories, ["Kitchen", "Tea"]);
    assert_eq!(item(&data, "a").attributes["category"], 1);

    options.columns.category = Some("group".to_owned());
    let refused = import(&path, &options).unwrap_err().to_string();
    assert!(refused.contains("no column `group`"), "{refused}");
    options.items = None;
    let refused = import(&path, &options).unwrap_err().to_string();
    assert!(refused.contains("`--category-column` has no"), "{refused}");
}

#[test]
fn the_only_written_dates_are_the_times_and_numbers_are_only_hinted_at() {
    let rows = "user,item,when,birth_date,count\na,x,2020-09-13,1980-01-01,1600000000\na,y,2020-09-14,1980-01-01,1600000000\nb,x,2020-09-15,1980-01-01,1600000000\n";
    let (data, report) = import_text(rows, &ImportOptions::default()).unwrap();
    assert_eq!(data.interactions.at_ms[0], 1_599_955_200_000);
    let hints: Vec<(&str, bool)> = report
        .columns
        .iter()
        .filter(|one| one.read_as.is_none())
        .map(|one| (one.column.as_str(), one.hint.is_some()))
        .collect();
    assert_eq!(hints, [("birth_date", false), ("count", true)]);
}
