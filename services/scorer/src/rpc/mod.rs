//! The scorer's RPC methods: decode, call, encode. Wire types stop here.

/// Who calls, until when, and whether there is room for them.
mod way_in;

/// `RecommendationService`: lists, scores, similar items, and what is served.
mod recommendation_rpc;

/// The requests of a `BatchRecommend` stream, so many at once.
mod stream;

/// Items and fields of a catalogue.
mod catalogue;

/// What `GetStatus` tells operators.
mod status;

/// `HistoryService`: records, reads and deletes histories.
mod history_rpc;

pub(crate) use history_rpc::HistoryRpc;
pub(crate) use recommendation_rpc::RecommendationRpc;
pub(crate) use status::StatusSource;
pub(crate) use way_in::WayIn;
