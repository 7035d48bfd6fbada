//! The forms of data that can be asked for, where they are not to be found out.

use crate::table::FileForm;

/// The forms that are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// A folder with interactions, items and reviews in files of any form.
    Folder,
    /// Cells with commas, semicolons or bars between them.
    Csv,
    /// Tab-separated cells.
    Tsv,
    /// JSON objects; Amazon's review files are of this form.
    Jsonl,
    /// A Parquet file.
    Parquet,
    /// A folder of Amazon's files: reviews, and metadata in files that start
    /// with `meta`.
    Amazon,
    /// A folder with MovieLens 100K (`u.data`, `u.item`).
    Movielens100k,
    /// A folder with MovieLens 1M or 10M (`ratings.dat`, `movies.dat`).
    Movielens1m,
    /// A folder with MovieLens 25M (`ratings.csv`, `movies.csv`).
    Movielens25m,
    /// Matrices as scipy saves them; in a folder `train_matrix.npz`,
    /// `val_matrix.npz` and `test_matrix.npz`.
    Npz,
}

impl Format {
    /// The form of each file, where the format says it.
    pub(crate) fn of_file(self) -> Option<FileForm> {
        match self {
            Self::Csv => Some(FileForm::Csv),
            Self::Tsv => Some(FileForm::Tsv),
            Self::Jsonl => Some(FileForm::Json),
            Self::Parquet => Some(FileForm::Parquet),
            Self::Npz => Some(FileForm::Npz),
            Self::Folder
            | Self::Amazon
            | Self::Movielens100k
            | Self::Movielens1m
            | Self::Movielens25m => None,
        }
    }
}
