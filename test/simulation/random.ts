/** Chance as an argument: the same seed draws the same lots, on every machine. */
export interface Lots {
  /** In [0, 1). */
  next(): number
  /** A whole number in [0, below). */
  whole(below: number): number
  between(least: number, most: number): number
  happens(probability: number): boolean
  pick<T>(from: readonly [T, ...T[]] | readonly T[]): T
  bytes(size: number): Uint8Array
  /** Lots of their own, so that drawing here does not move what is drawn elsewhere. */
  branch(name: string): Lots
}

/** sfc32: small, quick, and good enough that neighbouring seeds have nothing to do with each other. */
export const lotsOf = (seed: number, name = ''): Lots => {
  let a = 0x9e3779b9
  let b = seed | 0
  let c = Math.floor(seed / 2 ** 32) | 0
  let d = 1
  const bits = (): number => {
    const sum = (((a + b) | 0) + d) | 0
    d = (d + 1) | 0
    a = b ^ (b >>> 9)
    b = (c + (c << 3)) | 0
    c = (((c << 21) | (c >>> 11)) + sum) | 0
    return sum >>> 0
  }
  for (const letter of name) {
    a = (a ^ letter.charCodeAt(0)) | 0
    bits()
  }
  for (let round = 0; round < 15; round += 1) bits()

  const next = (): number => bits() / 2 ** 32
  return {
    next,
    whole: (below) => Math.floor(next() * below),
    between: (least, most) => least + next() * (most - least),
    happens: (probability) => next() < probability,
    pick: (from) => {
      const picked = from[Math.floor(next() * from.length)]
      if (picked === undefined) throw new RangeError('Nothing to pick from')
      return picked
    },
    bytes: (size) => Uint8Array.from({ length: size }, () => bits() & 0xff),
    branch: (of) => lotsOf(seed, `${name}/${of}`),
  }
}
