-- Decides all limits of one request by GCRA, all or nothing, on this server's clock.
--
-- KEYS[i]              the bucket of limit i; holds its theoretical arrival time (TAT), integer µs of Unix time
-- ARGV[2i-1], ARGV[2i] limit i: µs that earn one request; µs in which the empty bucket fills (burst × the former)
-- reply                three integers for each limit: 1 allowed or 0 denied; how many more may come at once;
--                      µs until the bucket is full (allowed) or until a request may pass (denied)
--
-- All numbers stay below 2^53, where a Lua number is exact. A key expires when its bucket is full: a missing
-- key is a full bucket. In Redis Cluster all KEYS must share a slot. Needs Redis 5 or later (TIME before a write).
local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]

local function store(key, tat)
  redis.call('SET', key, string.format('%.0f', tat), 'PX', math.ceil((tat - now) / 1000))
end

local stored = redis.call('MGET', unpack(KEYS))
local tats, allowed, all_allowed = {}, {}, true
for i = 1, #KEYS do
  local interval, tolerance = tonumber(ARGV[2 * i - 1]), tonumber(ARGV[2 * i])
  local tat = math.max(tonumber(stored[i] or 0) or 0, now)
  if tat > now + tolerance then
    -- No charge writes this: the server's clock was set back. Repaired, or the key would stay denied.
    tat = now + tolerance
    store(KEYS[i], tat)
  end
  tats[i] = tat
  allowed[i] = tat + interval - now <= tolerance
  all_allowed = all_allowed and allowed[i]
end

local reply = {}
for i = 1, #KEYS do
  local interval, tolerance, tat = tonumber(ARGV[2 * i - 1]), tonumber(ARGV[2 * i]), tats[i]
  if all_allowed then
    tat = tat + interval
    store(KEYS[i], tat)
  end
  reply[3 * i - 2] = allowed[i] and 1 or 0
  reply[3 * i - 1] = math.floor((tolerance - (tat - now)) / interval)
  reply[3 * i] = allowed[i] and tat - now or tat + interval - tolerance - now
end
return reply
