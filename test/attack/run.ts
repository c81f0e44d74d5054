import type { Attempt, Row } from './attempt.js'
import { groundOn, type Servers } from './ground.js'
import { randomOf } from './random.js'

/** What became of a row: of each attempt that has to fail, of its control, and of each documented limit. */
export interface Outcome {
  readonly name: string
  readonly isHeld: boolean
  /** The limits that were seen, each as `row: what`. */
  readonly limits: readonly string[]
  /** What is not as it is documented, each as `row: what`. */
  readonly broken: readonly string[]
}

/** Longer than any attempt takes on a machine that has much else to do. */
const PATIENCE_MS = 180_000

/** Tries everything of a row, one attempt after the other, each in a namespace of its own. */
export const runRow = async (
  servers: Servers,
  { name, held, limits }: Row,
  seed: number,
  say: (line: string) => void,
): Promise<Outcome> => {
  let attempts = 0
  const succeeds = async (attempt: Attempt): Promise<boolean | string> => {
    attempts += 1
    const namespace = `attack-${name}-${seed}-${attempts}`
    const { ground, leave } = groundOn(servers, randomOf(seed + attempts), namespace)
    let timer: NodeJS.Timeout | undefined
    try {
      const lateness = new Promise<string>((resolve) => {
        timer = setTimeout(() => resolve(`was not over after ${PATIENCE_MS / 1_000} s`), PATIENCE_MS)
      })
      return await Promise.race([attempt(ground), lateness])
    } catch (error) {
      return `failed: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`
    } finally {
      clearTimeout(timer)
      await leave()
    }
  }
  const seen: string[] = []
  const broken: string[] = []
  const judge = (what: string, got: boolean | string, wanted: boolean, ifNot: string): boolean => {
    if (got === wanted) return true
    const why = typeof got === 'string' ? got : ifNot
    say(`BROKEN  ${name}: ${what}: ${why}`)
    broken.push(`${name}: ${what}: ${why.split('\n')[0]}`)
    return false
  }
  let isHeld = true
  for (const { title, attempt, control } of held) {
    const isKept = judge(title, await succeeds(attempt), false, 'it is not so')
    if (isKept) say(`held    ${name}: ${title}`)
    const isCaught = judge(`control: ${control.title}`, await succeeds(control.attempt), true, 'it went unnoticed')
    if (isCaught) say(`caught  ${name}: where ${control.title}`)
    isHeld = isKept && isCaught && isHeld
  }
  for (const { title, attempt } of limits) {
    if (!judge(`limit: ${title}`, await succeeds(attempt), true, 'it is documented as a limit, and is none')) continue
    say(`limit   ${name}: ${title}`)
    seen.push(`${name}: ${title}`)
  }
  return { name, isHeld, limits: seen, broken }
}
