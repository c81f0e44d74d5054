import type { CacheKey } from '../../src/contract/locator.js'

/** Which of these servers keeps a key: rendezvous hashing, so that another list moves as few keys as it can. */
export const placedAmong = <Server extends { readonly name: string }>(
  servers: readonly [Server, ...Server[]],
  key: CacheKey,
): Server => {
  let [winner] = servers
  let highest = -1
  for (const server of servers) {
    const draw = hashOf(`${server.name} ${key}`)
    if (draw <= highest) continue
    highest = draw
    winner = server
  }
  return winner
}

/** 32-bit FNV-1a, mixed once more: names that differ in one letter draw independently. */
const hashOf = (text: string): number => {
  let hash = 0x811c9dc5
  for (let at = 0; at < text.length; at += 1) hash = Math.imul(hash ^ text.charCodeAt(at), 0x01000193)
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b)
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35)
  return (hash ^ (hash >>> 16)) >>> 0
}
