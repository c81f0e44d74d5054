import type { CacheKey } from '../../contract/locator.js'

/** A server as placement sees it: the address as normalised (`cache1:11211`), and its weight. */
export interface PlacedServer {
  readonly address: string
  readonly weight: number
}

/**
 * Decides which server holds a key: given the servers once, it returns the index of a key's server.
 *
 * All processes must decide alike, or a key has two homes and a session two truths: so neither the order
 * of the list, nor the process, nor which servers are up may have a say.
 */
export type Placement = (servers: readonly PlacedServer[]) => (key: CacheKey) => number

/**
 * Weighted rendezvous hashing. Each server draws a number for the key, and the smallest one holds it:
 *
 *     draw   = -ln(u) / weight
 *     u      = (mix(fnv1a(key) xor mix(fnv1a(address))) + 0.5) / 2^32
 *     fnv1a  = 32-bit FNV-1a over the UTF-8 bytes;  mix = the finaliser of MurmurHash3 (fmix32)
 *
 * A server with twice the weight holds twice the keys. Adding one moves only the keys that it wins, about
 * its share of the weights; removing one moves only its own. A draw (two equal numbers) goes to the address
 * that sorts first.
 */
export const weightedRendezvous: Placement = (servers) => {
  if (servers.length < 2) return () => 0
  const candidates = servers
    .map(({ address, weight }, index) => ({ index, address, weight, seed: mix(fnv1a(address)) }))
    .sort((a, b) => (a.address < b.address ? -1 : 1))
  return (key) => {
    const hash = fnv1a(key)
    let winner = 0
    let smallest = Number.POSITIVE_INFINITY
    for (const { index, seed, weight } of candidates) {
      const draw = -Math.log((mix(hash ^ seed) + 0.5) / 2 ** 32) / weight
      if (draw < smallest) {
        smallest = draw
        winner = index
      }
    }
    return winner
  }
}

const fnv1a = (text: string): number => {
  let hash = 0x811c9dc5
  for (const byte of Buffer.from(text)) hash = Math.imul(hash ^ byte, 0x01000193)
  return hash >>> 0
}

/** Spreads a change of any one bit over all 32. */
const mix = (input: number): number => {
  let hash = input
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b)
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35)
  return (hash ^ (hash >>> 16)) >>> 0
}
