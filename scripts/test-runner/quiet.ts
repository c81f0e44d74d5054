/**
 * The tests that need quiet, as patterns of their files. They run one file after the other, when all others are done:
 * they start many processes, fill every processor, or measure how long something takes, and would fail each other.
 */
export const QUIET: readonly string[] = [
  'test/attack/*.test.ts',
  'test/backends/couchdb/servers.test.ts',
  'test/backends/postgres/faults.test.ts',
  'test/backends/redis/cluster.test.ts',
  'test/backends/redis/failover.test.ts',
  'test/backends/redis/server.test.ts',
  'test/caches/memcached/faults.test.ts',
  'test/bench/counts.test.ts',
  'test/bench/ratios.test.ts',
  'test/chaos/*.test.ts',
  'test/cli/*.test.ts',
  'test/concurrency/*.test.ts',
  'test/demo/demo.test.ts',
  'test/model/**/*.test.ts',
  'test/moving/*.test.ts',
  'test/package.test.ts',
  'test/scripts/*.test.ts',
  'test/shutdown/*.test.ts',
  'test/simulation/*.test.ts',
  'test/store/channels.test.ts',
  'test/store/drain.test.ts',
  'test/store/real-servers.test.ts',
  'test/store/told-by-real-tiers.test.ts',
  'test/store/worst-night.test.ts',
  'test/support/stopwatch.test.ts',
]
