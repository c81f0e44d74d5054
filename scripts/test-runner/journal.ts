/** What happens in a run of vitest, a line of JSON each, written down while it happens: it is there whatever ends the run. */
import type { VitestReport } from './vitest-report.js'

/** The environment variable that names the journal's file to the reporter. */
export const JOURNAL_VARIABLE = 'NONSTICK_TEST_JOURNAL'

export type Entry =
  | { readonly what: 'file begins'; readonly file: string; readonly atMs: number }
  | { readonly what: 'test begins'; readonly file: string; readonly title: string }
  /** `status` is vitest's: passed, failed or skipped. */
  | { readonly what: 'test ends'; readonly file: string; readonly title: string; readonly status: string }
  | { readonly what: 'file ends'; readonly file: string; readonly status: string; readonly atMs: number }
  | { readonly what: 'run ends' }

/** What a journal tells of a run. */
export interface Told {
  /** All that ended, as vitest's own report would have it, also of files that did not end. */
  readonly report: VitestReport
  /** Whether vitest came to its end. */
  readonly isWhole: boolean
  /** Files that had begun and not ended, with the titles of their tests that had begun and not ended. */
  readonly underWay: readonly { readonly file: string; readonly titles: readonly string[] }[]
}

/** @param text the journal; a last line that was cut off in the middle is left out */
export const readJournal = (text: string): Told => {
  const files = new Map<string, FileSoFar>()
  const fileOf = (name: string): FileSoFar => {
    const file = files.get(name) ?? { begunAt: 0, ended: undefined, running: new Set<string>(), tests: [] }
    files.set(name, file)
    return file
  }
  let isWhole = false
  const complete = text.slice(0, text.lastIndexOf('\n') + 1)
  for (const line of complete.split('\n').filter((each) => each !== '')) {
    const entry = JSON.parse(line) as Entry
    if (entry.what === 'run ends') {
      isWhole = true
      continue
    }
    const file = fileOf(entry.file)
    if (entry.what === 'file begins') file.begunAt = entry.atMs
    else if (entry.what === 'test begins') file.running.add(entry.title)
    else if (entry.what === 'file ends') file.ended = { status: entry.status, atMs: entry.atMs }
    else {
      file.running.delete(entry.title)
      file.tests.push({ fullName: entry.title, status: entry.status })
    }
  }
  return {
    report: {
      testResults: [...files].map(([name, { begunAt, ended, tests }]) => ({
        name,
        status: ended?.status ?? 'unfinished',
        startTime: begunAt,
        endTime: ended?.atMs ?? begunAt,
        assertionResults: tests,
      })),
    },
    isWhole,
    underWay: [...files]
      .filter(([, { ended }]) => ended === undefined)
      .map(([file, { running }]) => ({ file, titles: [...running] })),
  }
}

interface FileSoFar {
  begunAt: number
  ended: { readonly status: string; readonly atMs: number } | undefined
  readonly running: Set<string>
  readonly tests: { readonly fullName: string; readonly status: string }[]
}
