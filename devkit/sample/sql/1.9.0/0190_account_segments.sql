-- What stands between the colons of an account's name, for whoever searches by it.

ALTER TABLE accounts ADD COLUMN segments text[];

CREATE FUNCTION account_segments(address text) RETURNS text[] LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
    RETURN string_to_array(address, ':');
END;
$$;

CREATE FUNCTION fill_account_segments() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.segments := account_segments(NEW.address);
    RETURN NEW;
END;
$$;

CREATE TRIGGER fill_account_segments BEFORE INSERT ON accounts
    FOR EACH ROW EXECUTE FUNCTION fill_account_segments();
