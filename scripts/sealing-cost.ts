/** Runs what `scripts/sealing-cost` promises; `HELP` is the promise. */
import { randomBytes } from 'node:crypto'
import { createSessionStore } from '../src/index.js'
import { memoryBackend, memoryCache } from '../src/memory.js'
import { median } from './bench-runner/statistics.js'

const HELP = `scripts/sealing-cost [rounds]

Loads and saves sessions of 1.5 KB and of 20 KB on the embedded tiers, with and without sealing, in so many rounds (30)
that take turns, and prints the median of the rounds in microseconds for each load and each save, and their ratio. A
tenth of the saves goes to the backend, as by default. The tiers are in this process, so that the figures are what the
processor has to do; over a network, a load takes some hundred microseconds more either way. The last line is JSON.`

const SIZES = [1_500, 20_000]
const CALLS_OF_A_ROUND = 300

interface Data {
  readonly text: string
  count: number
}

/** Data that the codec makes about as many bytes of. */
const dataOf = (bytes: number): Data => ({ text: randomBytes(bytes).toString('base64').slice(0, bytes), count: 0 })

/** A store with one session, and what one round of calls takes for each call, in microseconds. */
const benchOf = async (bytes: number, isSealed: boolean) => {
  const store = createSessionStore<Data>({
    cache: memoryCache(),
    backend: memoryBackend(),
    purgeEveryMs: 0,
    ...(isSealed ? { sealing: { keys: [randomBytes(32)] } } : {}),
  })
  const { id } = await store.create(dataOf(bytes))
  const timed = async (call: () => Promise<unknown>): Promise<number> => {
    const startedMs = performance.now()
    for (let calls = 0; calls < CALLS_OF_A_ROUND; calls += 1) await call()
    return ((performance.now() - startedMs) * 1_000) / CALLS_OF_A_ROUND
  }
  const load = (): Promise<number> => timed(() => store.load(id, { touch: false }))
  const save = async (): Promise<number> => {
    const session = await store.load(id)
    if (session === undefined) throw new Error('the session is not there')
    return await timed(() => {
      session.data.count += 1
      return store.save(session)
    })
  }
  return { load, save, close: () => store.close() }
}

const main = async (rounds: number): Promise<void> => {
  const figures = []
  for (const bytes of SIZES) {
    const [plain, sealed] = [await benchOf(bytes, false), await benchOf(bytes, true)]
    for (const call of ['load', 'save'] as const) {
      const took: { readonly plain: number[]; readonly sealed: number[] } = { plain: [], sealed: [] }
      // The first round of each is to warm up.
      for (let round = 0; round <= rounds; round += 1) {
        const [withoutUs, withUs] = [await plain[call](), await sealed[call]()]
        if (round === 0) continue
        took.plain.push(withoutUs)
        took.sealed.push(withUs)
      }
      const [plainUs, sealedUs] = [median(took.plain), median(took.sealed)].map((us) => Number(us.toFixed(1))) as [
        number,
        number,
      ]
      const ratio = Number((sealedUs / plainUs).toFixed(2))
      figures.push({ call, bytes, plainUs, sealedUs, ratio })
      console.log(`${call} of ${bytes} bytes: ${plainUs} µs, sealed ${sealedUs} µs, ${ratio} times as long`)
    }
    await Promise.all([plain.close(), sealed.close()])
  }
  console.log(JSON.stringify({ rounds, figures }))
}

const [word = '30', ...others] = process.argv.slice(2)
if (word === '--help' || word === '-h') console.log(HELP)
else if (others.length > 0 || !/^[1-9]\d{0,3}$/.test(word)) {
  console.error(`scripts/sealing-cost takes a number of rounds, and got something else.\n\n${HELP}`)
  process.exitCode = 2
} else await main(Number(word))
