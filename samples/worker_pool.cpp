// worker_pool: a bounded queue of jobs, a fixed number of workers, one place where the results meet.
//
// Which start below 10,000 has the longest Collatz sequence?  The job queue holds 16 ranges: the feeder waits
// when the workers fall behind.  The workers share the receiving end of the jobs and the sending end of the
// results; when the last of them ends, the results are closed.

#include <weft/weft.hpp>

#include <utility>

#include <fmt/core.h>

struct range {
  unsigned first;
  unsigned last;
};

struct record {
  unsigned start = 0;
  unsigned length = 0;
};

unsigned collatz_length(unsigned long n) {
  unsigned length = 1;
  for (; n != 1; ++length) n = n % 2 == 0 ? n / 2 : 3 * n + 1;
  return length;
}

record longest_in(range job) {
  record best;
  for (unsigned start = job.first; start <= job.last; ++start) {
    const unsigned length = collatz_length(start);
    if (length > best.length) best = {start, length};
  }
  return best;
}

weft::routine<> feed(unsigned end, weft::channel_sender<range> jobs) {
  constexpr unsigned size = 100;
  for (unsigned first = 1; first < end; first += size) {
    const range job{first, first + size - 1 < end ? first + size - 1 : end - 1};
    co_await jobs.send(job);
  }
}

weft::routine<> work(weft::channel_receiver<range> jobs, weft::channel_sender<record> results) {
  while (auto job = co_await jobs.recv()) {
    const record best = longest_in(*job);
    co_await results.send(best);
  }
}

weft::routine<record> search(unsigned end, int workers) {
  co_return co_await weft::scope([=](weft::task_scope& s) -> weft::routine<record> {
    auto [jobs_out, jobs_in] = weft::make_channel<range>(16);
    auto [results_out, results_in] = weft::make_channel<record>(16);
    s.go(feed, end, std::move(jobs_out));
    for (int i = 1; i < workers; ++i) s.go(work, jobs_in, results_out);
    s.go(work, std::move(jobs_in),
         std::move(results_out));  // the last one: no end stays here, or none would close

    record best;
    while (auto r = co_await results_in.recv()) {
      const bool is_better = r->length > best.length || (r->length == best.length && r->start < best.start);
      if (is_better) best = *r;
    }
    co_return best;
  });
}

int main() {
  const record best = weft::go(search, 10'000U, 4).join();
  fmt::print("{} takes {} steps\n", best.start, best.length);
}
