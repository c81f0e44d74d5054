import { failed, notAsked, ok, type Verdict } from './verdict.js'

interface Report {
  readonly metadata?: { readonly vulnerabilities?: Readonly<Record<string, number>> }
}

/** No package that comes with this one has a weakness that the registry knows. `stdout`: of `npm audit --json`. */
export const auditVerdict = (stdout: string): Verdict => {
  const counts = countsIn(stdout)
  if (counts === undefined)
    return notAsked(
      'the registry did not answer npm audit',
      'Run npm audit --omit=dev where it does, before you publish',
    )
  const { total = 0, ...bySeverity } = counts
  if (total === 0) return ok('npm audit knows of no weakness in what comes with it')
  const told = Object.entries(bySeverity)
    .filter(([, count]) => count > 0)
    .map(([severity, count]) => `${count} ${severity}`)
  return failed(`npm audit knows of ${told.join(', ')}`, 'Run npm audit --omit=dev, and take mended versions')
}

const countsIn = (stdout: string): Readonly<Record<string, number>> | undefined => {
  try {
    return (JSON.parse(stdout) as Report).metadata?.vulnerabilities
  } catch {
    return undefined
  }
}
