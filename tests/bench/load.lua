-- For wrk: requests take turns through a file of tokens; the figures come as one line of JSON.
-- Arguments: method, path, octets of the body, file with a token a line.
local requests, turn = {}, 0

function init(args)
  local method, path, octets, file = args[1], args[2], tonumber(args[3]), args[4]
  local body = octets > 0 and string.rep("x", octets) or nil
  for token in io.lines(file) do
    local headers = { Authorization = "Bearer " .. token }
    requests[#requests + 1] = wrk.format(method, path, headers, body)
  end
end

function request()
  turn = turn % #requests + 1
  return requests[turn]
end

function done(summary, latency)
  local errors = summary.errors
  io.write(string.format(
    '\n{"requests":%d,"microseconds":%d,"refused":%d,"broken":%d,"p50":%f,"p99":%f}\n',
    summary.requests, summary.duration, errors.status,
    errors.connect + errors.read + errors.write + errors.timeout,
    latency:percentile(50), latency:percentile(99)))
end
