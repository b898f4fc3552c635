-- Takes a place of every limit of one request, or none, on this server's clock.
--
-- KEYS[i]     the holders of limit i: a sorted set of tokens by the moment, µs of Unix time, at which their place is free
-- ARGV[1]     the request's token
-- ARGV[2]     µs for which a place is held at most
-- ARGV[2i+1]  most holders of limit i
-- ARGV[2i+2]  1: the limit only watches, and never keeps the request from passing
-- reply       for each limit 1 (there is a place) or 0
--
-- A set goes when its last holder's time is up. In Redis Cluster all KEYS must share a slot. Needs Redis 5 or later.
local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]
local moment = function(us) return string.format('%.0f', us) end

local reply, pass = {}, true
for i = 1, #KEYS do
  redis.call('ZREMRANGEBYSCORE', KEYS[i], '-inf', moment(now))
  reply[i] = redis.call('ZCARD', KEYS[i]) < tonumber(ARGV[2 * i + 1]) and 1 or 0
  pass = pass and (reply[i] == 1 or ARGV[2 * i + 2] == '1')
end
for i = 1, #KEYS do
  if pass and reply[i] == 1 then
    redis.call('ZADD', KEYS[i], moment(now + ARGV[2]), ARGV[1])
    redis.call('PEXPIRE', KEYS[i], moment(math.ceil(ARGV[2] / 1000)))
  end
end
return reply
