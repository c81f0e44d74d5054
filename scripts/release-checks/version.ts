import { failed, notAsked, ok, some, type Verdict } from './verdict.js'

/** A version by the rules of semver.org, without the build that npm drops. */
const SEMVER =
  /^(?:0|[1-9]\d*)\.(?:0|[1-9]\d*)\.(?:0|[1-9]\d*)(?:-(?:0|[1-9]\d*|\d*[A-Za-z-][\dA-Za-z-]*)(?:\.(?:0|[1-9]\d*|\d*[A-Za-z-][\dA-Za-z-]*))*)?$/

/** The version can be one, and no tag has it. `tags`: those of the repository. */
export const versionVerdict = (version: string, tags: readonly string[]): Verdict => {
  if (!SEMVER.test(version))
    return failed(`"${version}" is no version such as 1.2.3 or 1.2.3-rc.1`, 'Set "version" in package.json')
  if (tags.includes(`v${version}`))
    return failed(`the tag v${version} is there already`, 'Choose the next version in package.json')
  return ok(`${version}, and there is no tag v${version} yet`)
}

/** What `npm view … versions --json` came to. */
export interface Viewed {
  readonly failed: boolean
  readonly stdout: string
}

/** The registry does not have the version yet; npm refuses to publish one twice. */
export const publishedVerdict = (name: string, version: string, { failed: isFailed, stdout }: Viewed): Verdict => {
  const answer = parsed(stdout)
  if (isFailed) {
    const code = (answer as { error?: { code?: string } } | undefined)?.error?.code
    if (code === 'E404') return ok(`the registry does not know ${name} yet`)
    return notAsked(
      `the registry did not answer (${code ?? 'without a code'})`,
      `Look yourself: npm view ${name} versions`,
    )
  }
  const versions = typeof answer === 'string' ? [answer] : Array.isArray(answer) ? answer.map(String) : undefined
  if (versions === undefined)
    return notAsked('the registry answered with no list of versions', `Look yourself: npm view ${name} versions`)
  if (versions.includes(version))
    return failed(`${name} ${version} is published already`, 'Choose the next version in package.json')
  return ok(`the registry has ${name} ${some(versions.slice(-3))}, and not ${version}`)
}

const parsed = (text: string): unknown => {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
