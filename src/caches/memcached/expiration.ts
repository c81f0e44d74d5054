import type { EpochMs } from '../../contract/time.js'

/** Above this many seconds Memcached takes the number for a Unix time (31 days would lie in 1970). */
const LONGEST_RELATIVE_SECONDS = 30 * 24 * 60 * 60

/** The field has 32 bits; its end is in the year 2106. */
const LAST_UNIX_SECOND = 0xffff_ffff

/** 0 would mean "never". */
const SHORTEST_SECONDS = 1

/**
 * The number that makes Memcached keep an entry at least until `expiresAt`, and less than two seconds longer.
 *
 * One second is added to the rounding: Memcached counts in whole ticks of its own clock, so what is stored
 * for one second late in a tick is gone within milliseconds.
 *
 * A moment that is past, now or no number at all gives the shortest time there is, never "for ever".
 */
export const expirationSeconds = (expiresAt: EpochMs, now: EpochMs): number => {
  if (!(expiresAt > now)) return SHORTEST_SECONDS
  const relative = Math.ceil((expiresAt - now) / 1000) + 1
  if (relative <= LONGEST_RELATIVE_SECONDS) return relative
  return Math.min(Math.ceil(expiresAt / 1000) + 1, LAST_UNIX_SECOND)
}
