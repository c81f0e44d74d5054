import { pairedRatio, type Summary, summaryOf } from './statistics.js'

/** What one round of one case gave, each figure for one operation unless its name says otherwise. */
export interface Sample {
  readonly cpuUs?: number
  readonly perSecond?: number
  readonly p50Us?: number
  readonly p99Us?: number
  /** Commands at the cache (Memcached, or the Redis of a store that has no other), awaited or not. */
  readonly roundTrips?: number
  /** Bytes that the cache read and wrote. */
  readonly wireBytes?: number
  readonly statements?: number
  readonly heapBytes?: number
  /** How large the encoded data is. */
  readonly bytes?: number
}

export type Measure = keyof Sample

/** One thing to measure. */
export interface Case {
  /** In the words of the tables: `nonstick on PostgreSQL`. */
  readonly name: string
  /** What it is compared within: cases of one group do the same. */
  readonly group: string
  run(): Promise<Sample>
}

/** All rounds of one case. */
export interface Measured {
  readonly name: string
  readonly group: string
  readonly samples: readonly Sample[]
}

/**
 * Runs all cases in rounds, so that each case of a round meets the same machine, one more time than is counted: the first
 * round warms up. Every other round goes backwards, so that what gets slower in the course of a round favours none.
 *
 * @param tell is called before each round
 */
export const inRounds = async (
  cases: readonly Case[],
  rounds: number,
  tell: (round: number) => void = () => {},
): Promise<readonly Measured[]> => {
  const samples = new Map<Case, Sample[]>(cases.map((one) => [one, []]))
  for (let round = 0; round <= rounds; round += 1) {
    tell(round)
    for (const one of round % 2 === 0 ? cases : [...cases].reverse()) {
      const sample = await one.run()
      if (round > 0) samples.get(one)?.push(sample)
    }
  }
  return cases.map((one) => ({ name: one.name, group: one.group, samples: samples.get(one) ?? [] }))
}

/** The figures of all rounds in which the case has that one. */
export const figuresOf = ({ samples }: Measured, measure: Measure): readonly number[] =>
  samples.flatMap((sample) => sample[measure] ?? [])

export const summarized = (measured: Measured, measure: Measure): Summary => summaryOf(figuresOf(measured, measure))

/** @throws Error where there is no such case. */
export const found = (all: readonly Measured[], group: string, name: string): Measured => {
  const one = all.find((measured) => measured.group === group && measured.name === name)
  if (one === undefined) throw new Error(`no case "${name}" was measured in "${group}"`)
  return one
}

/** What `one` costs in the place of `other`, of a group, as the median of the ratios of the rounds. */
export const ratioIn = (
  all: readonly Measured[],
  { group, measure, one, other }: { group: string; measure: Measure; one: string; other: string },
): Summary => pairedRatio(figuresOf(found(all, group, one), measure), figuresOf(found(all, group, other), measure))
