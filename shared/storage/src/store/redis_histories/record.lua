-- Adds events to the histories of several users; see redis_histories.rs for the
-- keys. An event costs the same whatever is stored already.
--
-- KEYS: the hash with earlier versions' records, then two for each user: the
-- events, and what is known beside them.
-- ARGV: how many events of a user are kept, and from which time on (empty: all).
-- Then for each user: the name; the earlier version's record that is taken over
-- and when that says the user was deleted (each empty: none); the number of
-- events; and for each of them its time, its member and its id (empty: none).
-- Answers for each user how many events are new and kept, -1 when the record of
-- an earlier version has to be taken over first, or what went wrong.

-- An earlier version's record stays this long after it was taken over: programs
-- of that version that still run beside read it.
local KEPT_S = 24 * 60 * 60

local old_records = KEYS[1]
local max_events = tonumber(ARGV[1])
local oldest = tonumber(ARGV[2])

-- The id in a member; empty when the event has none.
local function id_of(member)
  return string.match(member, '%z%-?%d+%z(.*)$')
end

-- Forgets the ids of events that are being dropped; returns how many of these
-- events were added just now.
local function forget(about, members, added)
  local n = 0
  for _, member in ipairs(members) do
    local id = id_of(member)
    if id ~= '' then redis.call('HDEL', about, 'e' .. id) end
    if added[member] then n = n + 1 end
  end
  return n
end

-- Drops events up to a score as Redis writes it; `(5` excludes 5 itself.
local function drop_until(user, score, added)
  local members = redis.call('ZRANGEBYSCORE', user.events, '-inf', score)
  if #members == 0 then return 0 end
  redis.call('ZREMRANGEBYSCORE', user.events, '-inf', score)
  return forget(user.about, members, added)
end

local function drop_excess(user, added)
  local excess = redis.call('ZCARD', user.events) - max_events
  if excess <= 0 then return 0 end
  local members = redis.call('ZRANGE', user.events, 0, excess - 1)
  redis.call('ZREMRANGEBYRANK', user.events, 0, excess - 1)
  return forget(user.about, members, added)
end

local function is_new(user, member, id, time)
  if id ~= '' and redis.call('HEXISTS', user.about, 'e' .. id) == 1 then
    return false
  end
  return redis.call('ZADD', user.events, 'NX', time, member) == 1
end

-- Adds what is not there yet; returns how many events are new and kept.
local function add(user)
  local deleted = redis.call('HGET', user.about, 'd')
  local after = deleted and tonumber(deleted) or -math.huge
  local added, n = {}, 0
  for at = user.first, user.last, 3 do
    local time, member, id = ARGV[at], ARGV[at + 1], ARGV[at + 2]
    local ms = tonumber(time)
    if ms > after and (not oldest or ms >= oldest)
      and is_new(user, member, id, time) then
      if id ~= '' then redis.call('HSET', user.about, 'e' .. id, '') end
      added[member] = true
      n = n + 1
    end
  end
  if n == 0 then return 0 end
  if oldest then n = n - drop_until(user, '(' .. ARGV[2], added) end
  return n - drop_excess(user, added)
end

-- Removes the record of an earlier version a day after it was taken over.
local function expire_old(user)
  local since = tonumber(redis.call('HGET', user.about, 't') or '0')
  if tonumber(redis.call('TIME')[1]) - since > KEPT_S then
    redis.call('HDEL', old_records, user.name)
    redis.call('HDEL', user.about, 'a', 't')
  end
end

-- Adds the events of an earlier version's record, and its deletion.
local function take_over(user, hash)
  if user.deleted ~= '' then
    local before = redis.call('HGET', user.about, 'd')
    if not before or tonumber(before) < tonumber(user.deleted) then
      redis.call('HSET', user.about, 'd', user.deleted)
      drop_until(user, user.deleted, {})
    end
  end
  add(user)
  local now = redis.call('TIME')[1]
  redis.call('HSET', user.about, 'a', hash, 't', now)
  return 0
end

local function change(user)
  local old = redis.call('HGET', old_records, user.name)
  if old then
    local hash = redis.sha1hex(old)
    if redis.call('HGET', user.about, 'a') == hash then
      if user.old ~= '' then return 0 end
      expire_old(user)
    elseif user.old == old then
      return take_over(user, hash)
    else
      return -1
    end
  elseif user.old ~= '' then
    return 0
  end
  return add(user)
end

local answers = {}
local at, key = 3, 2
while at <= #ARGV do
  local first = at + 4
  local last = first + 3 * tonumber(ARGV[at + 3]) - 1
  local user = {
    name = ARGV[at], old = ARGV[at + 1], deleted = ARGV[at + 2],
    first = first, last = last,
    events = KEYS[key], about = KEYS[key + 1],
  }
  local is_ok, answer = pcall(change, user)
  if not is_ok and type(answer) == 'table' then answer = answer.err end
  answers[#answers + 1] = answer
  at, key = last + 1, key + 2
end
return answers
