import { isVerified, type MemcachedTls } from '../../caches/memcached/tls.js'
import { duration, size } from '../output.js'
import { type Finding, isOnThisMachine } from './finding.js'
import { numberIn, type Statistics } from './memcached-statistics.js'

/** What is known of one server, and what the store expects of it. */
export interface MemcachedFacts {
  /** `memcached cache1:11211` */
  readonly tier: string
  readonly host: string
  readonly tls: MemcachedTls | undefined
  readonly statistics: Statistics
  /** By the wall clock of this machine, in the middle of the question. */
  readonly askedAtMs: number
  readonly maxClockSkewMs: number
  readonly maxValueBytes: number
  readonly idleTtlMs: number
}

/** The header of an item in Memcached, and the key: what a value is less than the largest item. */
const ITEM_OVERHEAD_BYTES = 512

/** How full the connections may be. */
const MOST_OF = 0.8

/** What is wrong with a Memcached, by its own statistics. */
export const judgeMemcached = (facts: MemcachedFacts): readonly Finding[] =>
  [evictions, connections, itemSize, compareAndSet, clock, inTheClear, unverified, certificate].flatMap((judge) =>
    judge(facts),
  )

const evictions = ({ tier, statistics, idleTtlMs }: MemcachedFacts): readonly Finding[] => {
  const { general, settings, items } = statistics
  const cure = 'Give it more memory (option -m), or let sessions that nobody uses end earlier (`idleTtlMs`).'
  if (settings['evictions'] === 'off')
    return [
      {
        check: 'cache-refuses',
        severity: 'warning',
        tier,
        finding: 'It runs with -M: when it is full it refuses new sessions, which are then kept in the backend alone.',
        cure: 'Start it without -M, so that it forgets the session that nobody has used for longest.',
      },
    ]
  const count = numberIn(general, 'evictions') ?? 0
  if (count === 0) return []
  const unused = Object.entries(items)
    .filter(([name, seconds]) => name.endsWith(':evicted_time') && Number(seconds) > 0)
    .map(([, seconds]) => Number(seconds) * 1_000)
  const youngestMs = unused.length === 0 ? undefined : Math.min(...unused)
  const age =
    youngestMs === undefined || youngestMs > idleTtlMs
      ? ''
      : `, one of them ${duration(youngestMs)} after its last use, which is less than the idle time-out`
  const memory = numberIn(general, 'limit_maxbytes')
  return [
    {
      check: 'cache-evictions',
      severity: 'warning',
      tier,
      finding:
        `It has forgotten ${count} entries for want of room since it was started${age}. What of a session had not ` +
        `reached the backend is lost with its entry${memory === undefined ? '' : ` (it has ${size(memory)})`}.`,
      cure,
    },
  ]
}

const connections = ({ tier, statistics: { general, settings } }: MemcachedFacts): readonly Finding[] => {
  const most = numberIn(settings, 'maxconns') ?? numberIn(general, 'max_connections')
  const open = numberIn(general, 'curr_connections') ?? 0
  const refused = (numberIn(general, 'listen_disabled_num') ?? 0) + (numberIn(general, 'rejected_connections') ?? 0)
  if (refused === 0 && (most === undefined || open < most * MOST_OF)) return []
  return [
    {
      check: 'cache-connections',
      severity: 'warning',
      tier,
      finding:
        refused > 0
          ? `It has turned connections away ${refused} times since it was started, as it had ${most ?? 'as many as it takes'} open.`
          : `${open} of the ${most ?? 0} connections that it takes are open.`,
      cure: 'Let it take more of them (option -c): each process has one connection to each server, and short ones that look at shared names.',
    },
  ]
}

const itemSize = ({ tier, statistics: { settings }, maxValueBytes }: MemcachedFacts): readonly Finding[] => {
  const largest = numberIn(settings, 'item_size_max')
  if (largest === undefined || largest >= maxValueBytes + ITEM_OVERHEAD_BYTES) return []
  return [
    {
      check: 'cache-item-size',
      severity: 'warning',
      tier,
      finding: `It takes items of ${size(largest)} at most, and sessions of up to ${size(maxValueBytes)} are sent to it in vain.`,
      cure: `Start it with a larger -I, or set \`maxValueBytes\` of memcached to ${Math.max(1_024, largest - ITEM_OVERHEAD_BYTES)} or less.`,
    },
  ]
}

const compareAndSet = ({ tier, statistics: { settings } }: MemcachedFacts): readonly Finding[] =>
  settings['cas_enabled'] === 'no'
    ? [
        {
          check: 'cache-no-cas',
          severity: 'fault',
          tier,
          finding: 'It runs with -C, without compare-and-set, so that it cannot be used.',
          cure: 'Start it without -C.',
        },
      ]
    : []

/** Memcached tells whole seconds. */
const RESOLUTION_MS = 1_500

const clock = ({ tier, statistics: { general }, askedAtMs, maxClockSkewMs }: MemcachedFacts): readonly Finding[] => {
  const seconds = numberIn(general, 'time')
  if (seconds === undefined) return []
  return skewOf('cache-clock', tier, seconds * 1_000 + 500 - askedAtMs, maxClockSkewMs + RESOLUTION_MS, maxClockSkewMs)
}

/** The finding about a clock that is further from this machine's than the store allows. */
export const skewOf = (
  check: string,
  tier: string,
  aheadMs: number,
  toleranceMs: number,
  maxClockSkewMs: number,
): readonly Finding[] =>
  Math.abs(aheadMs) <= toleranceMs
    ? []
    : [
        {
          check,
          severity: 'fault',
          tier,
          finding:
            `Its clock is ${duration(aheadMs)} ${aheadMs > 0 ? 'ahead of' : 'behind'} that of this machine, and ` +
            `${duration(maxClockSkewMs)} are allowed: sessions end too early or too late.`,
          cure: 'Set both clocks by NTP; chronyc tracking, or timedatectl, says which of them is wrong.',
        },
      ]

const inTheClear = ({ tier, host, tls }: MemcachedFacts): readonly Finding[] =>
  tls !== undefined || isOnThisMachine(host)
    ? []
    : [
        {
          check: 'cache-in-the-clear',
          severity: 'warning',
          tier,
          finding: 'Sessions travel to another machine, and the connection is not encrypted.',
          cure: 'Start it with -Z and a certificate, and put memcacheds:// before its address (docs/memcached.md, TLS).',
        },
      ]

const unverified = ({ tier, tls }: MemcachedFacts): readonly Finding[] =>
  tls === undefined || isVerified(tls)
    ? []
    : [
        {
          check: 'cache-tls-unverified',
          severity: 'warning',
          tier,
          finding:
            'The connection is encrypted, but any server is taken for the right one: whoever stands in between can read and change sessions.',
          cure: 'Leave `rejectUnauthorized` out, and give the certificate of the authority of this server as `ca`.',
        },
      ]

/** Early enough for somebody to be back from his holidays. */
const SOON_MS = 14 * 86_400_000

const certificate = ({
  tier,
  tls,
  statistics: { certificateEndsAt },
  askedAtMs,
}: MemcachedFacts): readonly Finding[] => {
  if (tls === undefined || certificateEndsAt === undefined || certificateEndsAt - askedAtMs > SOON_MS) return []
  const leftMs = certificateEndsAt - askedAtMs
  return [
    {
      check: 'cache-certificate',
      severity: 'warning',
      tier,
      finding:
        leftMs > 0
          ? `Its certificate expires in ${duration(leftMs)}; no new connection is made to it from then on.`
          : 'Its certificate has expired.',
      cure: 'Give it a new certificate. A Memcached takes it up by the command refresh_certs, or when it is started anew.',
    },
  ]
}
