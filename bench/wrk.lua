-- Arguments after "--": how many requests travel in one write, and the milliseconds that a connection pauses between two, on average.
function init(args)
  local pause = tonumber(args[2]) or 0
  -- Of different lengths, or all connections would ask at the same time. wrk measures from the request on, without the pause.
  if pause > 0 then
    delay = function() return math.random(0, 2 * pause) end
  end
  local depth = tonumber(args[1]) or 1
  -- wrk sends a precomputed request faster than one from a function, so define the function only where it is needed.
  if depth > 1 then
    local one, many = wrk.format(), {}
    for i = 1, depth do many[i] = one end
    local batch = table.concat(many)
    request = function() return batch end
  end
end

-- wrk's own text rounds its figures.
function done(summary, latency)
  local errors = summary.errors
  io.write(string.format(
    '\n{"requests":%d,"seconds":%.6f,"p50":%.3f,"p99":%.3f,"errors":{"connect":%d,"read":%d,"write":%d,"timeout":%d,"status":%d}}\n',
    summary.requests, summary.duration / 1e6, latency:percentile(50) / 1e3, latency:percentile(99) / 1e3,
    errors.connect, errors.read, errors.write, errors.timeout, errors.status))
end
