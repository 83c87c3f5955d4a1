DO $$
BEGIN
  -- A user that is gone already counts as revoked; otherwise Vault would try again for ever.
  IF EXISTS (SELECT FROM pg_roles WHERE rolname = '{{name}}') THEN
    PERFORM pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{{name}}';
    REASSIGN OWNED BY "{{name}}" TO CURRENT_USER;
    DROP OWNED BY "{{name}}";
    DROP ROLE "{{name}}";
  END IF;
END $$;
