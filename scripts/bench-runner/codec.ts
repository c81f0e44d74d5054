/** What a codec costs: ours beside JSON, `v8.serialize` and msgpackr alone. */
import type { RunFamily } from './bench.js'
import type { CodecQuestion } from './codec-subject.js'
import { type Case, inRounds, type Measure, ratioIn, type Sample } from './rounds.js'
import { SIZES } from './sessions.js'
import { startSubject } from './subject.js'

/** A codec needs no longer, since it waits for nothing. */
const MOST_SECONDS = 0.2
const CALLS = ['encode', 'decode', 'both'] as const
const OURS = 'nonstick'
const JSON_NAME = 'JSON, as the peers use it'

export const codec: RunFamily = async ({ seconds, rounds, quick }, tell) => {
  const subject = await startSubject('codec-subject')
  try {
    const names = await subject.ask<readonly string[]>({ names: true })
    const [calls, shown] = quick ? [['both'] as const, [OURS, JSON_NAME]] : [CALLS, names]
    const cases: readonly Case[] = SIZES.flatMap((bytes) =>
      calls.flatMap((call) =>
        shown.map((name) => ({
          name,
          group: `${call}, ${bytes} bytes`,
          run: () =>
            subject.ask<Sample>({
              codec: name,
              call,
              bytes,
              seconds: Math.min(MOST_SECONDS, seconds),
            } satisfies CodecQuestion),
        })),
      ),
    )
    const measured = await inRounds(cases, rounds, (round) => tell(`round ${round} of ${rounds}`))
    const ratio = (bytes: number, measure: Measure) =>
      ratioIn(measured, { group: `both, ${bytes} bytes`, measure, one: OURS, other: JSON_NAME })
    const speed = (bytes: number) =>
      ratioIn(measured, { group: `both, ${bytes} bytes`, measure: 'cpuUs', one: JSON_NAME, other: OURS })
    return {
      family: 'codec',
      measured,
      columns: ['cpuUs', 'perSecond', 'bytes'],
      figures: {
        'codec.speed.1500.overJson': speed(1_500),
        'codec.speed.20000.overJson': speed(20_000),
        'codec.bytes.1500.overJson': ratio(1_500, 'bytes'),
        'codec.bytes.20000.overJson': ratio(20_000, 'bytes'),
      },
    }
  } finally {
    await subject.end()
  }
}
