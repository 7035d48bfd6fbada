//! MovieLens as GroupLens publishes it: 100K, 1M and 25M.

use std::io::Read;
use std::path::Path;

use serde_json::Map;

use crate::builder::{Builder, ItemFacts};
use crate::cells::Cells;
use crate::columns::Columns;
use crate::error::Error;
use crate::readers::delimited;
use crate::readers::file::{clean_title, open};

/// Reads `u.data` (user, item, rating, time; tabs) and `u.item` (id, title, …,
/// 19 genre flags; bars).
pub(crate) fn read_100k(
    builder: &mut Builder,
    folder: &Path,
) -> Result<(), Error> {
    ratings(builder, &folder.join("u.data"), "\t")?;
    let path = folder.join("u.item");
    for line in latin_1(&path)?.lines() {
        let cells: Vec<&str> = line.split('|').collect();
        if let [id, title, ..] = cells[..] {
            movie(builder, id, title, genre_flags(&cells));
        }
    }
    Ok(())
}

/// Reads `ratings.dat` and `movies.dat`, whose cells have `::` between them.
pub(crate) fn read_1m(
    builder: &mut Builder,
    folder: &Path,
) -> Result<(), Error> {
    ratings(builder, &folder.join("ratings.dat"), "::")?;
    for line in latin_1(&folder.join("movies.dat"))?.lines() {
        if let [id, title, genres] = line.split("::").collect::<Vec<_>>()[..] {
            movie(builder, id, title, genre_list(genres));
        }
    }
    Ok(())
}

/// Reads `ratings.csv` and `movies.csv`, both with a header.
pub(crate) fn read_25m(
    builder: &mut Builder,
    folder: &Path,
) -> Result<(), Error> {
    let ratings = folder.join("ratings.csv");
    delimited::interactions(builder, &ratings, b',', &Columns::default())?;
    let path = folder.join("movies.csv");
    let mut reader = csv::Reader::from_reader(open(&path)?);
    for record in reader.records() {
        let record = record.map_err(|e| Error::malformed(&path, e))?;
        let cells: Vec<&str> = record.iter().collect();
        if let [id, title, genres, ..] = cells[..] {
            movie(builder, id, title, genre_list(genres));
        }
    }
    Ok(())
}

fn ratings(
    builder: &mut Builder,
    path: &Path,
    delimiter: &str,
) -> Result<(), Error> {
    let text = latin_1(path)?;
    for (number, line) in (1..).zip(text.lines()) {
        let cells: Vec<&str> = line.split(delimiter).collect();
        let [user, item, rating, time] = cells[..] else {
            let n_cells = cells.len();
            let reason = format!(
                "has {n_cells} cells, expected user, item, rating, time"
            );
            builder.refuse(path, number, reason);
            continue;
        };
        let cells = Cells {
            user: Some(user),
            item: Some(item),
            rating: Some(rating),
            timestamp: Some(time),
            ..Cells::default()
        };
        builder.interaction(path, number, &cells);
    }
    Ok(())
}

fn movie(
    builder: &mut Builder,
    id: &str,
    title: &str,
    categories: Vec<String>,
) {
    let facts = ItemFacts {
        title: clean_title(title),
        categories,
        attributes: Map::new(),
    };
    builder.item(id, facts);
}

/// Genres with bars between them; `(no genres listed)` is none.
fn genre_list(genres: &str) -> Vec<String> {
    let genres = genres.split('|').filter(|genre| !genre.starts_with('('));
    genres.map(str::to_owned).collect()
}

/// The last 19 cells of `u.item` are flags in this order (`u.genre`).
fn genre_flags(cells: &[&str]) -> Vec<String> {
    const GENRES: [&str; 19] = [
        "unknown",
        "Action",
        "Adventure",
        "Animation",
        "Children's",
        "Comedy",
        "Crime",
        "Documentary",
        "Drama",
        "Fantasy",
        "Film-Noir",
        "Horror",
        "Musical",
        "Mystery",
        "Romance",
        "Sci-Fi",
        "Thriller",
        "War",
        "Western",
    ];
    let flags = &cells[cells.len().saturating_sub(GENRES.len())..];
    let mut genres = Vec::new();
    for (genre, flag) in GENRES.iter().zip(flags) {
        if flag.trim() == "1" {
            genres.push((*genre).to_owned());
        }
    }
    genres
}

/// The text of a file in Latin-1, as the older sets are.
fn latin_1(path: &Path) -> Result<String, Error> {
    let mut bytes = Vec::new();
    let read = open(path)?.read_to_end(&mut bytes);
    read.map_err(Error::file(path))?;
    Ok(encoding_rs::mem::decode_latin1(&bytes).into_owned())
}
