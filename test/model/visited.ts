/*
 * The worlds seen so far, by a hash of 128 bits each. Two different worlds with one hash would be taken for one,
 * and what follows from the second would not be searched: among ten million worlds the odds of any such pair are
 * below one in 10^24. `exact` keeps the numbers themselves, to check the hash against.
 */

export interface Visited {
  /** Whether it is new; then it is kept. */
  add(numbers: Int32Array, length: number): boolean
  readonly size: number
}

const mix = (hash: number, value: number, factor: number): number =>
  Math.imul(((hash << 13) | (hash >>> 19)) ^ Math.imul(value + 0x165667b1, factor), 0x85ebca6b) + 0x27d4eb2f

const finished = (hash: number): number => {
  let mixed = hash
  mixed = Math.imul(mixed ^ (mixed >>> 16), 0x85ebca6b)
  mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35)
  return (mixed ^ (mixed >>> 16)) | 0
}

export const visited = (): Visited => {
  let capacity = 1 << 16
  let table = new Int32Array(capacity * 4)
  let size = 0

  const slotOf = (into: Int32Array, room: number, a: number, b: number, c: number, d: number): number => {
    for (let slot = a & (room - 1); ; slot = (slot + 1) & (room - 1)) {
      const at = slot * 4
      if (into[at] === 0 && into[at + 1] === 0 && into[at + 2] === 0 && into[at + 3] === 0) return at
      if (into[at] === a && into[at + 1] === b && into[at + 2] === c && into[at + 3] === d) return -1
    }
  }

  const grow = (): void => {
    const bigger = new Int32Array(capacity * 8)
    for (let at = 0; at < table.length; at += 4) {
      const [a = 0, b = 0, c = 0, d = 0] = [table[at], table[at + 1], table[at + 2], table[at + 3]]
      if (a === 0 && b === 0 && c === 0 && d === 0) continue
      bigger.set([a, b, c, d], slotOf(bigger, capacity * 2, a, b, c, d))
    }
    capacity *= 2
    table = bigger
  }

  return {
    add: (numbers, length) => {
      let a = 1
      let b = 2
      let c = 3
      let d = 4
      for (let at = 0; at < length; at += 1) {
        const value = numbers[at] ?? 0
        a = mix(a, value, 0x9e3779b1)
        b = mix(b, value, 0x239b961b)
        c = mix(c, value, 0xab0e9789 | 0)
        d = mix(d, value, 0x38b34ae5)
      }
      a = finished(a ^ length)
      b = finished(b ^ length)
      c = finished(c ^ length)
      d = finished(d ^ length)
      const at = slotOf(table, capacity, a, b, c, d)
      if (at < 0) return false
      table[at] = a
      table[at + 1] = b
      table[at + 2] = c
      table[at + 3] = d
      size += 1
      if (size * 2 > capacity) grow()
      return true
    },
    get size() {
      return size
    },
  }
}

export const exactlyVisited = (): Visited => {
  const seen = new Set<string>()
  return {
    add: (numbers, length) => {
      const before = seen.size
      seen.add(numbers.subarray(0, length).join())
      return seen.size > before
    },
    get size() {
      return seen.size
    },
  }
}
