/** The part of vitest's JSON report that we read. */
export interface VitestReport {
  readonly testResults: readonly {
    /** The file's full path. */
    readonly name: string
    readonly status: string
    readonly message?: string
    readonly startTime: number
    readonly endTime: number
    readonly assertionResults: readonly { readonly status: string; readonly fullName: string }[]
  }[]
}

/** A run of vitest in numbers. */
export interface TestCounts {
  readonly passed: number
  readonly failed: number
  /** Titles, with those of the groups around them. */
  readonly skipped: readonly string[]
  readonly shares: readonly Share[]
}

/** What one folder of `test/` took. */
export interface Share {
  readonly folder: string
  readonly tests: number
  readonly seconds: number
}

/**
 * Counts a report. A file that could not even be loaded has no tests to count and is one failure.
 *
 * @param root the repository, so that folders can be named
 */
export const countTests = (report: VitestReport, root: string): TestCounts => {
  const skipped: string[] = []
  const shares = new Map<string, { tests: number; seconds: number }>()
  let passed = 0
  let failed = 0
  for (const file of report.testResults) {
    const folder = folderOf(file.name, root)
    const share = shares.get(folder) ?? { tests: 0, seconds: 0 }
    share.seconds += Math.max(0, (file.endTime - file.startTime) / 1000)
    share.tests += file.assertionResults.length
    shares.set(folder, share)
    const failures = file.assertionResults.filter(({ status }) => status === 'failed').length
    passed += file.assertionResults.filter(({ status }) => status === 'passed').length
    failed += file.status === 'failed' && failures === 0 ? 1 : failures
    for (const { status, fullName } of file.assertionResults)
      if (status !== 'passed' && status !== 'failed') skipped.push(fullName.trim())
  }
  return {
    passed,
    failed,
    skipped,
    shares: [...shares]
      .map(([folder, share]) => ({ folder, ...share }))
      .sort((one, other) => other.seconds - one.seconds),
  }
}

const folderOf = (path: string, root: string): string => {
  const parts = path
    .slice(root.length)
    .split(/[\\/]/)
    .filter((part) => part !== '')
  return parts.length > 2 ? parts.slice(0, 2).join('/') : (parts[0] ?? path)
}

/** A skip that may happen under CI. */
export interface AllowedSkip {
  /** The title of a test or of a group around it, or the beginning of the two joined by a blank. */
  readonly title: string
  readonly reason: string
}

/** The skips that no entry of the list allows. */
export const unexpectedSkips = (skipped: readonly string[], allowed: readonly AllowedSkip[]): readonly string[] =>
  skipped.filter((title) => !allowed.some((entry) => title.startsWith(entry.title)))
