import { createHash } from "node:crypto";
import { SluiceError } from "../../base/errors.ts";
import type { Account, AccountScope } from "../../config/account.ts";
import type { Configuration } from "../../config/configuration.ts";
import type { Settings } from "../../config/settings.ts";
import { hashPassword } from "../../config/scrypt.ts";

/** An account as it may be shown. */
export type AccountView = {
  readonly name: string;
  readonly scope: AccountScope;
  /** It can log in by MistServer's `authorize`, and so its password is kept as MD5, too. */
  readonly mistCompatible: boolean;
};

export type NewAccount = {
  readonly name: string;
  readonly password: string;
  readonly scope: AccountScope;
  readonly mistCompatible: boolean;
};

/** What may be changed of an account; what is left out stays. */
export type AccountChange = {
  readonly password?: string | undefined;
  readonly scope?: AccountScope | undefined;
  readonly mistCompatible?: boolean | undefined;
};

/** The account of this name; undefined when there is none. */
export function accountOf({ account }: Pick<Settings, "account">, name: string): Account | undefined {
  return Object.hasOwn(account, name) ? account[name] : undefined;
}

/** The MD5 of an account's password, if it may log in by `authorize`. */
export function mistPassword(account: Account | undefined): string | undefined {
  return account?.password ?? account?.md5;
}

export function viewOf(name: string, account: Account): AccountView {
  return { name, scope: account.scope ?? "admin", mistCompatible: mistPassword(account) !== undefined };
}

/** Makes an account. Rejects with "api.conflict" when the name is taken. */
export async function createAccount(
  configuration: Configuration,
  { name, password, scope, mistCompatible }: NewAccount,
): Promise<AccountView> {
  const account = await formOf(password, scope, mistCompatible);
  await configuration.change(({ account: all }) => {
    if (Object.hasOwn(all, name)) throw new SluiceError("api.conflict", `There is an account ${JSON.stringify(name)} already`);
    return { account: { ...all, [name]: account } };
  });
  return viewOf(name, account);
}

/** Changes an account. Rejects with "api.unknown" or "api.conflict". */
export async function changeAccount(configuration: Configuration, name: string, change: AccountChange): Promise<AccountView> {
  const before = accountOf(configuration.settings, name);
  if (!before) throw unknown(name);
  const scope = change.scope ?? before.scope ?? "admin";
  const compatible = change.mistCompatible ?? mistPassword(before) !== undefined;
  let after: Account;
  if (change.password !== undefined) after = await formOf(change.password, scope, compatible);
  else if (compatible && mistPassword(before) === undefined) {
    throw new SluiceError("input.invalid", "mistCompatible needs the password, too: what is kept of it does not say its MD5");
  } else if (!compatible && before.scrypt === undefined) {
    throw new SluiceError("input.invalid", "The account's password is kept as MD5 alone; give a password, too, to make it scrypt");
  } else {
    const { md5, ...rest } = before;
    after = { ...rest, scope, ...(compatible && md5 !== undefined && { md5 }) };
  }
  await configuration.change((settings) => {
    if (accountOf(settings, name) !== before) throw new SluiceError("api.conflict", "Somebody else changed the account at the same time");
    const account = { ...settings.account, [name]: after };
    checkWayIn(settings, account);
    return { account };
  });
  return viewOf(name, after);
}

/** Removes an account. Rejects with "api.unknown" or "api.conflict". */
export async function removeAccount(configuration: Configuration, name: string): Promise<void> {
  await configuration.change((settings) => {
    if (!accountOf(settings, name)) throw unknown(name);
    const account = Object.fromEntries(Object.entries(settings.account).filter(([other]) => other !== name));
    checkWayIn(settings, account);
    return { account };
  });
}

/** Nobody may shut the last door from inside. */
function checkWayIn({ apiLocalAccess }: Settings, account: Settings["account"]): void {
  const admins = Object.values(account).filter(({ scope = "admin" }) => scope === "admin");
  if (admins.length === 0 && !apiLocalAccess) {
    throw new SluiceError(
      "api.conflict",
      "This is the last account with the scope admin, and apiLocalAccess is off: nobody could get in again",
    );
  }
}

async function formOf(password: string, scope: AccountScope, mistCompatible: boolean): Promise<Account> {
  const scrypt = await hashPassword(password);
  return { scrypt, scope, ...(mistCompatible && { md5: createHash("md5").update(password).digest("hex") }) };
}

function unknown(name: string): SluiceError {
  return new SluiceError("api.unknown", `There is no account ${JSON.stringify(name)}`);
}
