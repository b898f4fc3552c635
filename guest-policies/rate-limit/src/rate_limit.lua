-- Decides all limits of one request by GCRA, all or nothing, on this server's clock.
--
-- KEYS[i]              the bucket of limit i; holds its theoretical arrival time (TAT), integer µs of Unix time
-- ARGV[6i-5]           limit i: µs that earn one unit
-- ARGV[6i-4]           µs in which the empty bucket fills (burst × the former)
-- ARGV[6i-3]           µs that the request costs (its units × the first)
-- ARGV[6i-2]           units that the gateway would like to have besides, to spend them later
-- ARGV[6i-1]           µs that the gateway has spent while it could not ask; charged in any case
-- ARGV[6i]             1: the limit only watches, and never keeps the request from passing
-- reply                four integers for each limit: 1 allowed or 0 denied; how many more units may come at once;
--                      µs until the bucket is full (allowed) or until the request may pass (denied);
--                      units that the gateway has got besides
--
-- All numbers stay below 2^53, where a Lua number is exact. A key expires when its bucket is full: a missing
-- key is a full bucket. In Redis Cluster all KEYS must share a slot. Needs Redis 5 or later (TIME before a write).
local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]

local function store(key, tat)
  redis.call('SET', key, string.format('%.0f', tat), 'PX', math.ceil((tat - now) / 1000))
end

local stored = redis.call('MGET', unpack(KEYS))
local tats, allowed, pass = {}, {}, true
for i = 1, #KEYS do
  local tolerance, charge, owed = tonumber(ARGV[6 * i - 4]), tonumber(ARGV[6 * i - 3]), tonumber(ARGV[6 * i - 1])
  local tat = math.max(tonumber(stored[i] or 0) or 0, now)
  -- No charge goes beyond the bucket: a TAT there means that the server's clock was set back. Repaired, or the
  -- key would stay denied.
  local settled = math.min(tat + owed, now + tolerance)
  if settled ~= tat then
    tat = settled
    store(KEYS[i], tat)
  end
  tats[i] = tat
  allowed[i] = tat + charge - now <= tolerance
  pass = pass and (allowed[i] or ARGV[6 * i] == '1')
end

local reply = {}
for i = 1, #KEYS do
  local interval, tolerance = tonumber(ARGV[6 * i - 5]), tonumber(ARGV[6 * i - 4])
  local charge, wanted = tonumber(ARGV[6 * i - 3]), tonumber(ARGV[6 * i - 2])
  local tat, leased = tats[i], 0
  if pass and allowed[i] then
    leased = math.min(wanted, math.floor((tolerance - (tat + charge - now)) / interval))
    if charge + leased > 0 then
      tat = tat + charge + leased * interval
      store(KEYS[i], tat)
    end
  end
  reply[4 * i - 3] = allowed[i] and 1 or 0
  reply[4 * i - 2] = math.floor((tolerance - (tat - now)) / interval)
  reply[4 * i - 1] = allowed[i] and tat - now or tat + charge - tolerance - now
  reply[4 * i] = leased
end
return reply
