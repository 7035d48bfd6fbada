-- Reads a history: when the user was deleted, the record of an earlier version
-- that has not been taken over yet, and the events in order.
--
-- KEYS: the hash with earlier versions' records, the user's events, what is
-- known beside them. ARGV: the user.

local known = redis.call('HMGET', KEYS[3], 'd', 'a')
local old = redis.call('HGET', KEYS[1], ARGV[1])
if old and known[2] == redis.sha1hex(old) then old = false end
return { known[1], old, redis.call('ZRANGE', KEYS[2], 0, -1) }
