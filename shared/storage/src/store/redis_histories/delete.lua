-- Forgets a user's events and remembers when that was.
--
-- KEYS: the hash with earlier versions' records, the user's events, what is
-- known beside them. ARGV: the user, the time, and a record by which programs of
-- an earlier version know that the user was deleted.

local before = redis.call('HGET', KEYS[3], 'd')
local deleted = ARGV[2]
if before and tonumber(before) > tonumber(deleted) then deleted = before end
redis.call('DEL', KEYS[2], KEYS[3])
redis.call('HSET', KEYS[3], 'd', deleted)
if redis.call('HEXISTS', KEYS[1], ARGV[1]) == 1 then
  redis.call('HSET', KEYS[1], ARGV[1], ARGV[3])
  redis.call('HSET', KEYS[3], 'a', redis.sha1hex(ARGV[3]),
    't', redis.call('TIME')[1])
end
return 1
