-- What wrk measured, as the last line that it prints, for perf/http; times in microseconds.

function done(summary, latency)
  local e = summary.errors
  print(string.format('\n{"requests":%d,"bytes":%d,"us":%d,"errors":%d,"p50_us":%d,"p99_us":%d}', summary.requests,
    summary.bytes, summary.duration, e.connect + e.read + e.write + e.status + e.timeout,
    latency:percentile(50), latency:percentile(99)))
end
