//! Names that columns usually have, in the spelling of [`plain_name`] with
//! spaces between, the surest ones first.

/// Names of users' ids.
pub(crate) const USERS: &str = "
    userid user uid useridx reviewerid customerid visitorid username customer
    custid customerno customernumber customercode clientid client memberid
    member accountid profileid personid buyerid buyer shopperid playerid
    readerid listenerid viewerid subscriberid patronid studentid learnerid
    guestid householdkey householdid authorid reviewer usersha1 fullvisitorid
    userpseudoid anonymousid distinctid customeremail useremail email deviceid
    cookieid visitor userkey usercode usernum sessionid session
";

/// Those of them that a file of items never has.
pub(crate) const SURE_USERS: &str =
    "userid user uid useridx reviewerid customerid";

/// Names of items' ids.
pub(crate) const ITEMS: &str = "
    itemid item iid parentasin asin movieid productid sku articleid isbn
    businessid bookid trackid songid artistid animeid gameid videoid recipeid
    newsid courseid appid listingid hotelid venueid restaurantid placeid poiid
    locationid postid photoid docid documentid contentid offerid jobid
    stockcode goodsid itemsku productsku variantid skuid variantsku
    productcode itemcode itemno itemnumber articleno articlenumber articlecode
    upc ean gtin barcode filmid showid albumid podcastid episodeid pageid
    tmdbid imdbid beerid wineid clothingid petid eventid product article movie
    book song track artist game film asset lineitemsku itemkey productkey mid
    pid bid
";

/// Names of times.
pub(crate) const TIMES: &str = "
    timestamp unixreviewtime unixtime unix time ts datetime eventtime
    eventtimestamp timestampms createdat creationtimestamp createtime
    createdtime created occurredat orderdate ordertime orderedat
    orderpurchasetimestamp purchasedate purchasedat purchasetime invoicedate
    transactiondate transactiontime reviewdate ratingdate ratedat watchedat
    listenedat playedat viewedat clickedat visittime checkintime addedat
    dateadded submitted date tdat reviewtime day
";

/// Names of ratings.
pub(crate) const RATINGS: &str = "
    rating overall stars starrating score bookrating userrating reviewrating
    reviewscore ratings ratingvalue itemrating movierating ratingscore
    myrating grade
";

/// Names of splits.
pub(crate) const SPLITS: &str = "
    split datasplit subset
";

/// Names of reviews.
pub(crate) const TEXTS: &str = "
    text reviewtext review reviewbody reviewcontent comment reviewcomment
";

/// Names of an item's id where only items stand.
pub(crate) const OWN_IDS: &str = "
    id identifier code key handle no number
";

/// Names of titles.
pub(crate) const TITLES: &str = "
    title name itemname itemtitle productname producttitle movietitle
    booktitle bookname tracktitle trackname songname songtitle artistname
    gamename gametitle animename animetitle businessname articletitle
    articlename prodname displayname fulltitle primarytitle originaltitle
    shorttitle label headline heading caption productdisplayname
    itemdescription description appname recipename coursename coursetitle
    newstitle videotitle filmtitle moviename
";

/// Names of categories.
pub(crate) const CATEGORIES: &str = "
    categories category genres genre class categorypath categoryname
    productcategory itemcategory producttype producttypename maincategory
    department departmentname tags taxonomy googleproductcategory subjects
    categorycode type
";

/// Names of descriptions.
pub(crate) const DESCRIPTIONS: &str = "
    description productdescription itemdescription longdescription detaildesc
    desc overview synopsis plot abstract bodyhtml
";

/// Words before `id` of columns that name neither a user nor an item.
const OTHER_THINGS: &str = "
    review order session transaction invoice event category store shop seller
    vendor brand genre tag row rating line basket cart message request log
    device channel campaign department warehouse index parent type payment
    status region country city feedback interaction record purchase click
    visit employee saleschannel unnamed
";

/// `User_ID`, `user id`, `userId` and RecBole's `user_id:token` are the same
/// name.
pub(crate) fn plain_name(name: &str) -> String {
    shown_name(name)
        .chars()
        .filter(|c| c.is_alphanumeric())
        .flat_map(char::to_lowercase)
        .collect()
}

/// A column's name without RecBole's type.
pub(crate) fn shown_name(name: &str) -> &str {
    let plain = name.trim_start_matches('\u{feff}').trim();
    match plain.split_once(':') {
        Some((before, kind)) if is_recbole_type(kind) => before,
        Some(_) | None => plain,
    }
}

pub(crate) fn is_recbole_type(kind: &str) -> bool {
    matches!(kind, "token" | "float" | "token_seq" | "float_seq")
}

/// The spellings that a name with dots can be known by: all of it, its last two
/// parts, its last part.
fn spellings(name: &str) -> Vec<String> {
    let parts: Vec<&str> = shown_name(name).split('.').collect();
    let mut spellings = vec![plain_name(name)];
    for n in [2, 1] {
        if parts.len() > n {
            let last = parts[parts.len() - n..].concat();
            spellings.push(plain_name(&last));
        }
    }
    spellings
}

/// The column with the surest of the known names.
pub(crate) fn find_known(names: &[String], known: &str) -> Option<usize> {
    find_all_known(names, known).first().copied()
}

/// All columns with known names, the surest first.
pub(crate) fn find_all_known(names: &[String], known: &str) -> Vec<usize> {
    let spellings: Vec<Vec<String>> =
        names.iter().map(|name| spellings(name)).collect();
    let mut found = Vec::new();
    for known in known.split_whitespace() {
        for (place, spellings) in spellings.iter().enumerate() {
            let is_known = spellings.iter().any(|name| name == known);
            if is_known && !found.contains(&place) {
                found.push(place);
            }
        }
    }
    found
}

fn is_among(name: &str, names: &str) -> bool {
    names.split_whitespace().any(|other| other == name)
}

/// True for a name that a column of interactions or items usually has.
pub(crate) fn knows(name: &str) -> bool {
    let plain = plain_name(name);
    let plain = plain.as_str();
    [USERS, ITEMS, TIMES, RATINGS, TITLES, OWN_IDS]
        .iter()
        .any(|names| is_among(plain, names))
}

/// True for a name such as `anime_id` or `artistID` of which nothing more is
/// known.
pub(crate) fn may_be_item_id(name: &str) -> bool {
    let plain = plain_name(name);
    let Some(thing) = plain
        .strip_suffix("id")
        .or_else(|| plain.strip_suffix("sku"))
        .or_else(|| plain.strip_suffix("code"))
    else {
        return false;
    };
    let is_other = |other: &str| thing.ends_with(other);
    !thing.is_empty()
        && !OTHER_THINGS.split_whitespace().any(is_other)
        && !is_among(&plain, USERS)
}

/// True for a name such as `customer_unique_id`.
pub(crate) fn may_be_user_id(name: &str) -> bool {
    const PEOPLE: &str = "user customer client member visitor reviewer buyer";
    let plain = plain_name(name);
    plain.ends_with("id")
        && PEOPLE.split_whitespace().any(|who| plain.contains(who))
}

/// True for a name that says the time of something else: a birth, a release.
pub(crate) fn is_other_time(name: &str) -> bool {
    const OTHER_TIMES: [&str; 14] = [
        "birth",
        "release",
        "publish",
        "publication",
        "signup",
        "member",
        "expir",
        "join",
        "register",
        "registration",
        "launch",
        "due",
        "delivery",
        "updated",
    ];
    let lower = shown_name(name).to_lowercase();
    OTHER_TIMES.iter().any(|other| lower.contains(other))
}

/// True for a name that says time of an interaction, such as `bought_at`.
pub(crate) fn may_be_time(name: &str) -> bool {
    let lower = shown_name(name).to_lowercase();
    let mut words = lower.split(|c: char| !c.is_alphanumeric());
    let says_time = words.any(|word| {
        matches!(
            word,
            "date" | "time" | "timestamp" | "datetime" | "at" | "on"
        )
    });
    let ends = ["date", "time", "timestamp", "dt", "ts"];
    !is_other_time(name)
        && (says_time || ends.iter().any(|end| lower.ends_with(end)))
}
