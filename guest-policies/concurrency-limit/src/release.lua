-- Gives back the places of one request.
--
-- KEYS[i]  the holders of a limit, as `acquire.lua` keeps them
-- ARGV[1]  the request's token
-- reply    how many were still held
local freed = 0
for i = 1, #KEYS do
  freed = freed + redis.call('ZREM', KEYS[i], ARGV[1])
end
return freed
