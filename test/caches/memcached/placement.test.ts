import { createHash } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { type PlacedServer, weightedRendezvous } from '../../../src/caches/memcached/placement.js'

const keys = Array.from(
  { length: 20_000 },
  (_, index) => `sess:${createHash('sha256').update(String(index)).digest('base64url')}`,
)

const homes = (servers: readonly PlacedServer[]): string[] => {
  const indexOf = weightedRendezvous(servers)
  return keys.map((key) => servers[indexOf(key)]?.address ?? 'nowhere')
}

const share = (placed: readonly string[], address: string): number =>
  placed.filter((home) => home === address).length / placed.length

const three: readonly PlacedServer[] = [
  { address: 'cache1:11211', weight: 1 },
  { address: 'cache2:11211', weight: 1 },
  { address: 'cache3:11211', weight: 2 },
]

describe('weighted rendezvous hashing', () => {
  test('gives each server its share of the keys', () => {
    const placed = homes(three)
    expect(Math.abs(share(placed, 'cache1:11211') - 0.25)).toBeLessThan(0.01)
    expect(Math.abs(share(placed, 'cache2:11211') - 0.25)).toBeLessThan(0.01)
    expect(Math.abs(share(placed, 'cache3:11211') - 0.5)).toBeLessThan(0.01)
  })

  test('places a key alike whatever the order of the list', () => {
    expect(homes([...three].reverse())).toEqual(homes(three))
  })

  test('moves to a new server its share of the keys, and none between the others', () => {
    const before = homes(three)
    const after = homes([...three, { address: 'cache4:11211', weight: 1 }])
    const moved = after.filter((home, index) => home !== before[index])
    expect(new Set(moved)).toEqual(new Set(['cache4:11211']))
    expect(Math.abs(moved.length / keys.length - 0.2)).toBeLessThan(0.01)
  })

  test('a raised weight only draws keys to its server', () => {
    const before = homes(three)
    const after = homes(three.map((server, index) => (index === 0 ? { ...server, weight: 2 } : server)))
    const moved = after.filter((home, index) => home !== before[index])
    expect(new Set(moved)).toEqual(new Set(['cache1:11211']))
    expect(Math.abs(share(after, 'cache1:11211') - 0.4)).toBeLessThan(0.01)
  })

  test('is even for keys and addresses that hardly differ', () => {
    const ten = Array.from({ length: 10 }, (_, index) => ({ address: `10.0.0.${index + 1}:11211`, weight: 1 }))
    const indexOf = weightedRendezvous(ten)
    const counts = ten.map(() => 0)
    for (let number = 0; number < 20_000; number += 1) {
      const index = indexOf(`k${number}`)
      counts[index] = (counts[index] ?? 0) + 1
    }
    for (const count of counts) expect(Math.abs(count - 2000)).toBeLessThan(250)
  })

  test('is the documented formula: these homes never change, or every deployed cache would be lost', () => {
    const placed = homes(three)
    expect(
      placed
        .slice(0, 12)
        .map((home) => home.charAt(5))
        .join(''),
    ).toBe('331211331323')
    expect(createHash('sha256').update(placed.join()).digest('base64url').slice(0, 16)).toBe('7soVJ9DGYZPhiAFC')
  })
})
