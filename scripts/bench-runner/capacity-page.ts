/** docs/capacity.md, as a text. */
import { capacityOf, ENTRY_BYTES, type Fleet } from './capacity.js'

const PROCESSES = [2, 8, 32] as const
const REQUESTS = [50, 200, 800] as const
const COUNTS = [1, 10, 100] as const
/** The defaults of the store, and visitors who ask for something every 100 seconds. */
const USUAL = { writing: 0.2, maxStaleMs: 60_000, touchBackendMs: 8_640_000, bytes: 900 } as const
const SECONDS_BETWEEN_REQUESTS = 100

/** Changes come to few sessions, or to many. */
const BUSY_SECONDS_BETWEEN_REQUESTS = 2

const whole = (figure: number): string => Math.round(figure).toLocaleString('en')
const upToOneDigit = (figure: number): string => (figure < 10 ? String(Number(figure.toFixed(1))) : whole(figure))

const fleetOf = (processes: number, requestsPerSecond: number, maxStaleCount: number, everySeconds: number): Fleet => ({
  ...USUAL,
  processes,
  requestsPerSecond,
  maxStaleCount,
  sessions: processes * requestsPerSecond * everySeconds,
})

const rowsOf = (everySeconds: number): readonly string[] =>
  PROCESSES.flatMap((processes) =>
    REQUESTS.flatMap((requests) =>
      COUNTS.map((count) => {
        const fleet = fleetOf(processes, requests, count, everySeconds)
        const { cacheCommandsPerSecond, rowsPerSecond, lostOfASession, lostInAll, cacheBytes } = capacityOf(fleet)
        const cells = [
          ...[processes, requests, count].map(String),
          ...[whole(fleet.sessions), whole(cacheCommandsPerSecond), upToOneDigit(rowsPerSecond)],
          ...[whole(lostOfASession), whole(lostInAll), `${upToOneDigit(cacheBytes / 2 ** 20)} MB`],
        ]
        return `| ${cells.join(' | ')} |`
      }),
    ),
  )

const tableOf = (everySeconds: number): string =>
  [
    '| processes | requests a second, each | N | sessions | commands at the cache, a second | rows written, a second | lost of a session, at most | lost in all, at most | memory of the cache |',
    `|${'--:|'.repeat(9)}`,
    ...rowsOf(everySeconds),
  ].join('\n')

export const capacityPage = (): string => `# Capacity

<!-- \`scripts/bench --write\` makes this page. -->

How many commands a fleet sends to Memcached, how many rows it has PostgreSQL, CouchDB or Redis write, how much a loss of the
cache can cost, and how much memory the cache needs: reckoned, to plan by. What a command or a row costs on a machine is in
the [benchmarks](benchmarks/README.md). The words are in the [glossary](glossary.md).

## How it is reckoned

* **Commands at the cache:** one for each request, and one more for each request that changes its session.
* **Rows written:** a flush takes along all changes of its session since the first one that it waits for, but no more than
  N (\`maxStaleCount\`). So of *c* changes a second of all sessions, each of which has *r* changes in \`maxStaleMs\`,
  *c* / min(N, 1 + *r*) are written. A touch comes on top for each session in use, once in \`touchBackendMs\`. So do
  a row for each session that begins, and one for each that ends. A peer that writes through has a row for each change
  and for each request that only reads.
* **What can be lost** is what stands in the cache alone when the cache loses it: of each session at most N − 1 changes, and
  none that is older than \`maxStaleMs\` as long as the process lives that made it. A save with \`{ durable: true }\` leaves
  nothing to lose. "In all" is what a loss of all cache servers at one moment can cost; one of *k* servers has about a
  *k*-th of it.
* **Memory of the cache:** each session takes its encoded data, ${ENTRY_BYTES} bytes for the envelope, the key and what Memcached keeps of
  an item, and an eighth of all that for the room between the sizes of its slabs.

The tables have a fifth of the requests write, ${USUAL.bytes} bytes of encoded data (1.5 KB as JSON), and the defaults of
\`maxStaleMs\` (a minute) and \`touchBackendMs\` (2.4 hours).

## Visitors who ask for something every ${SECONDS_BETWEEN_REQUESTS} seconds

Here a session has hardly a change in a minute, so \`maxStaleMs\` decides how much is written, and N how much can be lost of a
session that is changed more often than others. A longer \`maxStaleMs\` writes less, and can lose more.

${tableOf(SECONDS_BETWEEN_REQUESTS)}

## Clients that ask for something every ${BUSY_SECONDS_BETWEEN_REQUESTS} seconds

Here a session has several changes in a minute, and N decides how much is written.

${tableOf(BUSY_SECONDS_BETWEEN_REQUESTS)}
`
